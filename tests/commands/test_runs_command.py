"""`mtsearch runs`: listing, comparing, watching, stopping, deleting and archiving."""

import subprocess
import sys
import tarfile

import numpy as np
import pytest

from mtsearch.commands import runs
from mtsearch.commands.completion import complete
from mtsearch.commands.run_tables import scaled_hypervolumes
from mtsearch.config.errors import BadInput
from mtsearch.runs import following, managing
from mtsearch.runs.directory import RunDirectory
from mtsearch.runs.events import EventLog
from mtsearch.runs.lease import Lease
from mtsearch.runs.object_store import Store
from mtsearch.runs.opening import create_run
from mtsearch.runs.uploader import write_segment
from tests.helpers.spaces import space

DRIVER = """
import sys
from mtsearch.jobs.interruption import interrupt_event
from mtsearch.runs.directory import RunDirectory
from mtsearch.runs.events import EventLog
from mtsearch.runs.lease import Lease
from mtsearch.runs.object_store import Store
with RunDirectory(sys.argv[1]).drive() as run, interrupt_event() as stop:
    print("ready", flush=True)
    stop.wait(60)
"""


def make(root, points=(), **about):
    """A run whose trials are done, with these values of its objectives."""
    run = create_run(
        space(root, sampler="random", **about), {"dataset": "s", "checksum": "a"}, name="toy"
    )
    for number, values in enumerate(points):
        name = f"{number:04d}"
        fields = {"kind": "search", "control": None, "params": {}, "study": {}}
        run.log.append("start", trial=name, config={"seed": 0}, attempt=1, **fields)
        pairs = zip(run.config.objectives, values, strict=True)
        metrics = {"report": 1, "epoch": 1, "phase": "train", **{o.metric: v for o, v in pairs}}
        run.log.append("report", trial=name, report=1, metrics=metrics)
        run.log.append("end", trial=name, state="done", selected=1)
    run.log.close()
    return run.path


@pytest.fixture
def two(tmp_path):
    return [make(tmp_path, [(1.0, 4.0), (3.0, 2.0)]), make(tmp_path, [(2.0, 3.0)])]


@pytest.fixture
def driver(two):
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(two[0])], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.wait()


def test_runs_are_listed_with_damaged_ones(two, tmp_path, capsys):
    broken = two[0].parent / "broken"
    broken.mkdir()
    (broken / "config.yaml").touch()
    (broken / "events.jsonl").write_text("{")
    (tmp_path / "elsewhere").symlink_to(two[0])
    assert runs.main(["list", f"root={tmp_path}"]) == 0
    text = capsys.readouterr().out
    assert str(two[0].name) in text and "2 done" in text and "contains no event" in text
    assert "elsewhere" not in text
    (tmp_path / "none").mkdir()
    assert runs.main(["list", f"root={tmp_path / 'none'}"]) == 0
    assert "no runs below" in capsys.readouterr().out
    assert runs.main(["list", f"root={tmp_path / 'nothing'}"]) == 2


def test_hypervolumes_are_scaled_by_the_union():
    fronts = [np.array([[1.0, 4.0], [3.0, 2.0]]), np.array([[2.0, 3.0]]), np.empty((0, 2))]
    # scaled: (0, 1), (1, 0) dominate 0.11 + 0.11 - 0.01; (0.5, 0.5) dominates 0.36
    assert scaled_hypervolumes(fronts, ["min", "min"]) == pytest.approx(
        [0.21 / 1.21, 0.36 / 1.21, 0.0]
    )
    # of the maximum of the second objective, (1, 4) is the ideal point
    assert scaled_hypervolumes(fronts, ["min", "max"])[0] == pytest.approx(1.0)
    with pytest.raises(BadInput, match="none of the runs has a front"):
        scaled_hypervolumes([np.empty((0, 2))], ["min", "min"])


def test_runs_are_compared(two, capsys):
    assert runs.main(["compare", f"run={two[0]}", f"run={two[1]}"]) == 0
    text = capsys.readouterr().out
    assert "0.1736" in text and "0.2975" in text and text.count("0000") >= 2
    assert runs.main(["compare", f"run={two[0]}"]) == 2
    assert "twice or more" in capsys.readouterr().err


def test_runs_are_deleted_with_yes_only(two, tmp_path, capsys):
    assert runs.main(["delete", f"run={two[0]}", f"run={two[1]}"]) == 2
    assert "`--yes` is missing" in capsys.readouterr().err
    link = tmp_path / "link"
    link.symlink_to(two[0])
    for address in (link, tmp_path, two[0].parent):
        assert runs.main(["delete", f"run={two[1]}", f"run={address}", "--yes"]) == 2
        assert "is not a run directory" in capsys.readouterr().err
    (two[0] / "inner").symlink_to(tmp_path)
    assert runs.main(["delete", f"run={two[0]}", "--yes"]) == 2
    assert "contains a link" in capsys.readouterr().err
    assert two[0].is_dir() and two[1].is_dir()
    assert runs.main(["delete", f"run={two[1]}", f"run={two[1]}", "--yes"]) == 0
    assert [path.name for path in two[1].parent.iterdir()] == [two[0].name]


def test_an_archive_restores_the_run(two, tmp_path, capsys):
    events = (two[0] / "events.jsonl").read_bytes()
    (two[0] / "mine.tar").touch()
    for to, sentence in [(two[0] / "mine.tar", "exists"), (two[0] / "new.tar", "lies inside")]:
        assert runs.main(["archive", f"run={two[0]}", f"to={to}", "--yes"]) == 2
        assert sentence in capsys.readouterr().err
    assert runs.main(["archive", f"run={two[0]}"]) == 2 and two[0].is_dir()
    assert runs.main(["archive", f"run={two[0]}", "--yes"]) == 0
    file = two[0].with_name(f"{two[0].name}.tar")
    assert capsys.readouterr().out == f"archive: {file}\n" and not two[0].exists()
    with tarfile.open(file) as tar:
        tar.extractall(tmp_path / "again", filter="data")
    again = tmp_path / "again" / two[0].name
    assert (again / "events.jsonl").read_bytes() == events and len(RunDirectory(again).rows()) == 2


def test_a_driver_is_stopped_from_another_process(two, driver, capsys):
    for words in (["delete", "--yes"], ["archive", "--yes"]):
        assert runs.main([words[0], f"run={two[0]}", *words[1:]]) == 2
        assert "is being driven" in capsys.readouterr().err
    assert runs.main(["list", f"root={two[0].parent}"]) == 0
    assert "running" in capsys.readouterr().out
    assert runs.main(["stop", f"run={two[0]}"]) == 0
    text = capsys.readouterr().out
    assert f"process {driver.pid} has stopped" in text
    assert f"mtsearch run resume={two[0]}" in text
    assert driver.wait(10) == 0
    assert runs.main(["stop", f"run={two[0]}"]) == 2
    assert "nothing drives the run" in capsys.readouterr().err


def test_only_the_owner_of_the_lock_is_stopped(two, driver, capsys):
    holder = two[0] / managing.HOLDER
    name = holder.read_text().partition(" on ")[2]
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        for text in (f"process {bystander.pid} on {name}", "process 1 on elsewhere", "", "process"):
            holder.write_text(text)
            assert runs.main(["stop", f"run={two[0]}"]) == 2, text
        assert bystander.poll() is None and driver.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_events_are_followed_until_the_driver_ends(two, driver, capsys):
    lines, seen = following.follow(str(two[0]), sleep=lambda _: None), []
    seen.append(next(lines))
    run = RunDirectory(two[0])
    assert seen == ["so far: 2 done"]
    log = EventLog(two[0] / "events.jsonl", run.run_id)
    log.append("end", trial="0001", state="failed", reason="disk full")
    log.close()
    assert next(lines) == "end     0001 failed disk full"
    driver.kill()
    driver.wait()
    assert list(lines) == ["nothing drives the run"]


def test_runs_at_urls_are_listed_compared_and_watched(two, url, capsys):
    store = Store(f"{url}/toy/a")
    for name in ("config.yaml", "environment.json"):
        store.write(name, (two[0] / name).read_bytes())
    lease = Lease.first(store)
    write_segment(lease, 1, (two[0] / "events.jsonl").read_bytes())
    lease.release()
    assert runs.main(["list", f"root={url}"]) == 0
    assert "2 done" in capsys.readouterr().out
    assert runs.main(["compare", f"run={store.url}", f"run={two[1]}"]) == 0
    assert "0.2975" in capsys.readouterr().out
    assert runs.main(["watch", f"run={store.url}"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "so far: 2 done"
    for action in ("stop", "delete", "archive"):
        assert runs.main([action, f"run={store.url}"]) == 2
        assert "should be a folder" in capsys.readouterr().err


def test_names_are_completed(two, tmp_path, monkeypatch):
    assert complete("mtsearch runs st") == ["stop"]
    assert complete("mtsearch runs stop ") == ["run=", "wait="]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    two[0].parent.rename(tmp_path / "results" / "toy")
    names = [f"results/toy/{path.name}" for path in two]
    assert sorted(complete("mtsearch runs watch run=results/t")) == [
        f"run={n}" for n in sorted(names)
    ]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["lst"], "is not an action"),
        (["stop"], "`run` is missing"),
        (["list", "rot=x"], "Did you mean `root`"),
        (["watch", "run=a", "--yes"], "does not go with"),
        (["watch", "run=a", "run=b"], "takes one `run`"),
        (["list", "run=a"], "does not go with `list`"),
    ],
)
def test_wrong_words_are_refused(words, sentence, capsys):
    assert runs.main(words) == 2
    assert sentence in capsys.readouterr().err
