"""A full disk stops a run with one sentence and without partial files; it continues when there is
space."""

import errno
import os
import resource
import signal
import subprocess
from contextlib import contextmanager

import pytest

from mtsearch.config.errors import BadInput, Halt
from mtsearch.runs.directory import RunDirectory
from mtsearch.runs.events import EventLog, read_events
from mtsearch.runs.opening import create_run
from mtsearch.training.state import load_state, save_state
from tests.chaos.checks import check_run
from tests.chaos.conftest import run_in
from tests.helpers.fake import order
from tests.helpers.spaces import space


@contextmanager
def file_limit(size):
    """Within this context no file of this process can grow, as on a full disk (the kernel returns
    EFBIG)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(folder)], capture_output=True
    ).returncode:
        pytest.skip("no small file system can be mounted here; this needs root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_events_are_written_atomically(tmp_path):
    log = EventLog(tmp_path / "events.jsonl")
    log.append("run", n=1)
    whole = log.path.read_bytes()
    for _ in range(2):
        with (
            file_limit(len(whole) + 20),
            pytest.raises(Halt, match=rf"^{log.path} cannot be written \(File too large\)\.$"),
        ):
            log.append("start", n=2)
        assert log.path.read_bytes() == whole
    log.append("start", n=3)
    log.close()
    assert [event.get("n") for event in read_events(log.path)] == [1, 3]


def test_states_are_written_atomically(tmp_path):
    import torch

    save_state(tmp_path / "0000", {"w": torch.arange(4)})
    with file_limit(4096), pytest.raises(OSError):
        save_state(tmp_path / "0000", {"w": torch.zeros(10_000)})
    assert [path.name for path in tmp_path.iterdir()] == ["0000"]
    assert load_state(tmp_path / "0000")["w"].tolist() == [0, 1, 2, 3]


def test_a_full_disk_prevents_a_new_run(tmp_path):
    said = (
        r"no run can begin in .* \(File too large\)\. Free disk space there, or set another"
        r" `results.root`\.$"
    )
    with file_limit(64), pytest.raises(BadInput, match=said) as caught:
        create_run(space(tmp_path), {}, name="toy")
    assert "\n" not in str(caught.value) and list((tmp_path / "toy").iterdir()) == []


@pytest.mark.cluster
def test_a_full_disk_stops_a_search_resumably(undisturbed, drive, small_disk):
    order("fill", 3, 2)
    driver = drive(run=str(small_disk))
    out, said = driver.communicate(timeout=300)
    assert driver.returncode == 1 and "Traceback" not in said, said
    (reason,) = [line for line in out.splitlines() if line.startswith("stopped: ")]
    run = find(small_disk)
    assert os.strerror(errno.ENOSPC) in reason and f"resume={run.path}" in reason
    assert out.splitlines()[-1] == f"run: {run.path}"
    assert any(row["state"] == "running" for row in run.rows()) and not any(
        row["state"] == "failed" for row in run.rows()
    )

    driver = drive(resume=str(run.path))
    out, said = driver.communicate(timeout=300)
    assert (
        driver.returncode == 1
        and os.strerror(errno.ENOSPC) in out + said
        and "Traceback" not in said
    ), "there is no room yet"

    (small_disk / "filler").unlink()
    driver = drive(resume=str(run.path))
    _, said = driver.communicate(timeout=300)
    assert driver.returncode == 0, said
    check_run(run_in(small_disk), undisturbed)


def find(root):
    return RunDirectory(next(root.glob("toy/*/events.jsonl")).parent)
