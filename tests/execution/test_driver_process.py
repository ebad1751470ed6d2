"""A driver in a separate process with its own Ray cluster, under kills, interrupts and closed
streams."""

import os
import signal
import stat
import subprocess
import sys
import time

import psutil
import pytest

from mtsearch.execution.session import LONGEST_FOLDER, PREFIX, prepare_token, session_folder
from mtsearch.runs.directory import RunDirectory
from tests.helpers.fake import PLAN, order, release, until, waits
from tests.helpers.fixtures import FAKE, ROOT

CODE = """
import functools, sys
sys.path.insert(0, {root!r})
from mtsearch.commands import run as command
from mtsearch.execution import engine
from mtsearch.jobs import conclusion
from tests.helpers.spaces import space
conclusion.publish = functools.partial(conclusion.publish, formats=("parquet", "csv", "md"))
def work(words):
    if words[0] == "resume":
        return engine.resume(words[1], {{}}, trial_class={fake!r})
    return engine.run(space(words[0], trials=4, slots=2), name="toy", trial_class={fake!r})
command._run = work
sys.exit(command.main(sys.argv[1:]))
"""


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """`driver(word)` starts a driver with a results folder or a run to resume."""
    plan = tmp_path / "plan"
    plan.mkdir()
    monkeypatch.setenv(PLAN, str(plan))
    begun = []

    def start(*words, stdout=subprocess.PIPE, **environment):
        left = {k: v for k, v in os.environ.items() if k not in ("RAY_ADDRESS", "MTSEARCH_DATA")}
        paths = os.pathsep.join([ROOT, os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, "-c", CODE.format(root=ROOT, fake=FAKE), *words]
        begun.append(
            subprocess.Popen(
                command,
                env={**left, "PYTHONPATH": paths, **environment},
                stdout=stdout,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return begun[-1]

    yield start
    for process in begun:
        process.kill()
        process.communicate()


def run_of(root):
    (folder,) = (root / "toy").iterdir()
    return RunDirectory(folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["raylet", "gcs_server"])
def test_dead_ray_server_ends_the_driver(driver, tmp_path, name):
    order("wait", 3, 2)
    process = driver(str(tmp_path / "results"))
    until(lambda: waits(3, 2) or process.poll() is not None)
    victims = [c for c in psutil.Process(process.pid).children() if name in c.name()]
    victims[0].kill()
    began = time.monotonic()
    out, said = process.communicate(timeout=60)
    assert time.monotonic() - began < 30
    assert process.returncode == 1, (out, said)
    run = run_of(tmp_path / "results")
    lines = out.splitlines()
    assert lines[-1] == f"run: {run.path}"
    assert lines[-2].startswith("stopped: ") and "has died." in lines[-2]
    assert lines[-2].endswith(f"python -m mtsearch.run resume={run.path}")
    assert "Traceback" not in said
    release(3, 2)
    resumed = driver("resume", str(run.path))
    out, said = resumed.communicate(timeout=240)
    assert resumed.returncode == 0, (out, said)
    assert [row["state"] for row in run.rows()] == ["done"] * 5


@pytest.mark.slow
def test_five_interrupts_print_the_resume_command(driver, tmp_path):
    order("wait", 3, 2)
    process = driver(str(tmp_path / "results"))
    until(lambda: waits(3, 2) or process.poll() is not None)
    for _ in range(5):
        process.send_signal(signal.SIGINT)
        time.sleep(0.02)  # or the kernel merges the signals
    out, said = process.communicate(timeout=60)
    run = run_of(tmp_path / "results")
    assert process.returncode == 130 and "Traceback" not in said
    assert out.splitlines()[-2].endswith(f"python -m mtsearch.run resume={run.path}")
    assert out.splitlines()[-1] == f"run: {run.path}"


@pytest.mark.slow
def test_sigterm_ends_a_search_as_ctrl_c_does(driver, tmp_path):
    order("wait", 3, 2)
    process = driver(str(tmp_path / "results"))
    until(lambda: waits(3, 2) or process.poll() is not None)
    process.send_signal(signal.SIGTERM)
    time.sleep(4)  # Ray's own handler ends a process three seconds after the signal
    release(3, 2)
    out, said = process.communicate(timeout=60)
    run = run_of(tmp_path / "results")
    assert process.returncode == 130 and "Traceback" not in said, (out, said)
    assert out.splitlines()[-2].endswith(f"python -m mtsearch.run resume={run.path}")
    assert out.splitlines()[-1] == f"run: {run.path}"


@pytest.mark.slow
def test_closed_output_does_not_end_the_search(driver, tmp_path):
    process = driver(str(tmp_path / "results"))
    assert process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=240) == 0
    assert [row["state"] for row in run_of(tmp_path / "results").rows()] == ["done"] * 5
    process.stdout = None


@pytest.mark.slow
def test_long_temporary_folder_and_unwritable_home(driver, tmp_path):
    temporary = tmp_path / ("t" * 100)
    temporary.mkdir()
    folders = {"TMPDIR": str(temporary), "HOME": "/proc", "XDG_CACHE_HOME": str(tmp_path)}
    process = driver(str(tmp_path / "results"), **folders)
    out, said = process.communicate(timeout=240)
    assert process.returncode == 0, (out, said)


def test_session_folder_is_private_and_deleted(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    with session_folder() as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert folder.name.startswith(PREFIX) and len(str(folder)) <= LONGEST_FOLDER
        with session_folder() as other:  # a driver that runs keeps its folder
            assert folder.is_dir() and other != folder
    assert not folder.exists() and not other.exists()


def test_abandoned_session_folder_is_deleted(monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    with session_folder() as first:
        pass
    first.mkdir(mode=0o700)
    (first / ".owner.lock").touch()
    (first / "session").mkdir()
    with session_folder():
        assert not first.exists()


def test_long_ray_tmpdir_is_refused(tmp_path, monkeypatch):
    from mtsearch.config.errors import BadInput

    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / ("t" * 100)))
    with pytest.raises(BadInput, match=r"^`RAY_TMPDIR` should be a folder"), session_folder():
        pass


def test_long_tmpdir_is_replaced(tmp_path, monkeypatch):
    from mtsearch.execution import session

    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setattr(session.tempfile, "gettempdir", lambda: str(tmp_path / ("t" * 100)))
    with session_folder() as folder:
        assert len(str(folder)) <= LONGEST_FOLDER


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty home folder, without a token."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_new_token_file_is_private(home, monkeypatch):
    from mtsearch.execution import compat

    monkeypatch.setattr(compat, "has_token", lambda: False)
    prepare_token()
    token = home / ".ray" / "auth_token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600 and len(token.read_text()) == 64
    assert "RAY_AUTH_TOKEN" not in os.environ


def test_readable_token_file_becomes_private(home, monkeypatch):
    from mtsearch.execution import compat

    monkeypatch.setattr(compat, "has_token", lambda: True)
    (home / ".ray").mkdir()
    (home / ".ray" / "auth_token").write_text("a" * 64)
    (home / ".ray" / "auth_token").chmod(0o644)
    prepare_token()
    assert stat.S_IMODE((home / ".ray" / "auth_token").stat().st_mode) == 0o600


def test_unwritable_home_keeps_the_token_in_the_environment(home, monkeypatch):
    from mtsearch.execution import compat

    monkeypatch.setattr(compat, "has_token", lambda: False)
    monkeypatch.setenv("HOME", "/proc")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "")
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    prepare_token()
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64
