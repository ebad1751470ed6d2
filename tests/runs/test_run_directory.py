import json
import math
import shlex
import subprocess
import sys

import pytest

from mtsearch.config.errors import BadInput
from mtsearch.config.files import write_atomic
from mtsearch.config.overrides import split_pairs
from mtsearch.config.reading import load_space
from mtsearch.config.space import Space
from mtsearch.runs import folders, opening
from mtsearch.runs.directory import RunDirectory
from mtsearch.runs.names import check_control_names
from mtsearch.runs.opening import create_run
from mtsearch.runs.state import RunState
from tests.helpers.spaces import space


@pytest.fixture
def run(tmp_path):
    made = create_run(
        space(tmp_path, sampler="random"), {"dataset": "sample", "checksum": "abc"}, name="toy"
    )
    yield made
    made.log.close()


def start(run, trial="0000", attempt=1, config=None, **fields):
    fields = {"kind": "search", "control": None, "params": {}, "study": {}, **fields}
    run.log.append("start", trial=trial, config=config or {"seed": 0}, attempt=attempt, **fields)


def report(run, trial, number, **metrics):
    run.log.append(
        "report",
        trial=trial,
        report=number,
        metrics={"report": number, "epoch": number, "phase": "train", **metrics},
    )


def test_runs_open_on_other_machines(run, tmp_path):
    start(run)
    run.log.close()
    moved = tmp_path / "moved"
    run.path.rename(moved)
    again = RunDirectory(moved)
    assert again.config.name == "toy" and again.environment["dataset"] == "sample"
    assert [row["trial"] for row in again.rows()] == ["0000"]


def test_store_errors_of_jobs_are_shown_once(run):
    run.on_store_error(None)
    assert run.pop_messages() == []
    run.on_store_error("No space.")
    run.on_store_error("No space.")
    assert run.pop_messages() == ["No space. The checkpoint waits on its machine."]
    run.on_store_error("No space.")
    assert run.pop_messages() == []


@pytest.mark.parametrize("name", ["7", "a b", "../up", "a" * 200])
def test_controls_need_names_that_are_no_paths(name):
    with pytest.raises(BadInput, match=r"^`controls\."):
        check_control_names({"stl": {}, name: {}})


def test_settings_of_other_rows_show_their_default(run):
    start(run, "0000", config={"seed": 0, "population": {"name": "mto", "tasks": 4}})
    start(
        run,
        "0001",
        config={
            "seed": 0,
            "population": {"name": "mto", "tasks": 4, "accept": "never", "final": "average"},
        },
    )
    start(run, "plain", kind="control", control="plain", config={"seed": 0, "population": None})
    rows = {row["trial"]: row for row in run.rows()}
    assert (
        rows["0000"]["trial.population.accept"] == "strict"
        and rows["0000"]["trial.population.final"] == "target_best"
    )
    assert rows["0001"]["trial.population.accept"] == "never"
    assert "trial.population.accept" not in rows["plain"]  # without a population
    start(
        run,
        "short",
        kind="control",
        control="short",
        config={"seed": 0, "population": {"name": "mto", "budget": 800}},
    )
    start(
        run,
        "long",
        kind="control",
        control="long",
        config={"seed": 0, "epochs": {"search": 1, "retrain": 3}},
    )
    again = {row["trial"]: row for row in run.rows()}
    # Its budget is in steps.
    assert (
        again["plain"]["trial.epochs.retrain"] == 7 and "trial.epochs.retrain" not in again["short"]
    )
    assert not any("trial.population.alpha" in row for row in rows.values())  # no row has it


def test_runs_of_one_second_get_separate_directories(tmp_path):
    runs = [create_run(space(tmp_path), {}, name="toy") for _ in range(3)]
    assert len({run.path for run in runs}) == 3


def test_run_names_are_unique(tmp_path):
    named = Space({**space(tmp_path).raw, "results": {"root": str(tmp_path), "run": "first"}})
    assert create_run(named, {}, name="toy").path == tmp_path / "toy" / "first"
    with pytest.raises(
        BadInput,
        match=(
            r"`results\.run` names a run that exists: .*first\. Continue that run with .*"
            r" resume=.*first`, or give"
        ),
    ):
        create_run(named, {}, name="toy")
    assert [path.name for path in (tmp_path / "toy").iterdir()] == ["first"]


def _interrupt(log, event, **fields):
    raise KeyboardInterrupt


def test_killed_creations_leave_no_partial_run(tmp_path, monkeypatch):
    named = Space({**space(tmp_path).raw, "results": {"root": str(tmp_path), "run": "first"}})
    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr(folders.EventLog, "append", _interrupt)
        create_run(named, {}, name="toy")
    assert opening.named_run(named) is None
    assert create_run(named, {}, name="toy").path.name == "first"


def test_named_runs_need_equal_settings(tmp_path):
    raw = {**space(tmp_path).raw, "results": {"root": str(tmp_path), "run": "first"}}
    assert opening.named_run(Space(raw)) is None
    made = create_run(Space(raw), {}, name="toy")
    again = Space(
        {
            **raw,
            "search": {**raw["search"], "trials": 50},
            "data": {**raw["data"], "root": str(tmp_path)},
        }
    )
    assert opening.named_run(again).path == made.path
    with pytest.raises(
        BadInput,
        match=r"other settings: .*first has `search\.seed: None`, and here it is 7\. Give the same",
    ):
        opening.named_run(Space({**raw, "search": {**raw["search"], "seed": 7}}))
    with pytest.raises(
        BadInput,
        match=r"`--or-resume` continues the run of a given name\. .*`results\.run=first`",
    ):
        opening.named_run(space(tmp_path))


def test_a_folder_that_is_no_run_is_named(tmp_path):
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "events.jsonl").touch()
    with pytest.raises(BadInput, match=r"is not a run directory.* A run prints its directory"):
        RunDirectory(tmp_path / "half")
    with pytest.raises(BadInput, match="is not a run directory"):
        RunDirectory(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["a: [", "", "- one\n", "{", "1"])
@pytest.mark.parametrize("name", ["config.yaml", "environment.json"])
def test_damaged_run_files_are_named(run, name, text):
    (run.path / name).write_text(text, encoding="utf-8")
    damaged = RunDirectory(run.path)
    with pytest.raises(BadInput, match=rf"{name} .*Restore the file from a copy\.$") as caught:
        _ = damaged.space, damaged.environment
    assert "\n" not in str(caught.value)


def test_rows_hold_configuration_selected_report_test_and_reason(run):
    start(run, config={"seed": 3, "architecture": "hps", "optimizer": {"name": "adam", "lr": 0.01}})
    report(run, "0000", 1, **{"val/image/error": 50.0})
    report(run, "0000", 2, **{"val/image/error": 60.0})
    run.log.append("end", trial="0000", state="done", selected=1)
    run.log.append("test", trial="0000", metrics={"test/image/error": 51.0})
    start(run, "stl", kind="control", control="stl")
    start(run, "0001")
    run.log.append("end", trial="0001", state="failed", reason="it diverged")
    first, second, control = run.rows()
    assert (
        first["trial.architecture.name"] == "hps"
        and first["trial.optimizer.lr"] == 0.01
        and first["seed"] == 3
    )
    assert (
        first["state"],
        first["val/image/error"],
        first["test/image/error"],
        first["epoch"],
    ) == ("done", 50.0, 51.0, 1)
    assert (second["state"], second["reason"]) == ("failed", "it diverged")
    assert (control["kind"], control["control"], control["state"]) == ("control", "stl", "running")
    assert [(row["trial"], row["report"]) for row in run.history()] == [("0000", 1), ("0000", 2)]


def test_a_report_that_comes_twice_counts_once(run):
    start(run)
    report(run, "0000", 1, **{"val/image/error": 50.0})
    start(run, attempt=2)
    report(run, "0000", 1, **{"val/image/error": math.nan})
    record = run.state()
    assert record.trials["0000"].attempts == 2
    assert [row["val/image/error"] for row in run.history()] == [50.0]


def test_trials_are_ordered_by_number(tmp_path):
    def start(name, kind="search"):
        control = name if kind == "control" else None
        return {
            "event": "start",
            "time": 0.0,
            "trial": name,
            "kind": kind,
            "control": control,
            "config": {},
            "params": {},
            "study": {},
            "attempt": 1,
        }

    record = RunState.from_events(
        [start("stl", "control"), *(start(name) for name in ("9999", "10000", "0002", "1001"))]
    )
    assert [trial.trial for trial in record.sorted()] == ["0002", "1001", "9999", "10000", "stl"]


def test_seconds_exclude_the_time_between_drivers():
    events = [
        ("run", 100.0),
        ("start", 110.0),
        ("report", 130.0),
        ("resume", 1000.0),
        ("report", 1005.0),
    ]
    filled = {
        "space": "toy",
        "overrides": [],
        "changes": {},
        "trial": "0000",
        "kind": "search",
        "config": {},
        "params": {},
        "attempt": 1,
    }
    record = RunState.from_events(
        {"event": kind, "time": now, "report": number, "metrics": {}, **filled}
        for number, (kind, now) in enumerate(events, start=1)
    )
    assert record.seconds == pytest.approx(35.0)


def test_timeline_has_the_working_time_of_trials(run):
    times = run.timeline()
    assert set(times) == {trial.trial for trial in run.state().sorted()}
    assert all(0 <= began <= ended <= run.state().seconds for began, ended in times.values())


@pytest.mark.parametrize("control", [None, "stl"])
def test_row_commands_reproduce_their_configuration(tmp_path, control):
    path = tmp_path / "my space.yaml"
    path.write_text(space(tmp_path, sampler="random").to_yaml())
    overrides = ["trial.seed=4", "search.trials=3", "data.limit=100"]
    given = load_space(str(path), overrides)
    run = create_run(given, {}, name=str(path), overrides=overrides, root=tmp_path)
    tree = dict(given.controls["stl"]) if control else json.loads(json.dumps(given.defaults))
    if control is None:
        tree |= {
            "batch_size": 8,
            "preference": {"image": 1 / 3, "digit": 1 - 1 / 3},
            "sparsity": {"mode": "target", "target": 1e-05},
        }
        tree["optimizer"] = {"name": "adam", "lr": 1.2345678901234567e-05}
    start(
        run,
        control or "0000",
        config=tree,
        kind="control" if control else "search",
        control=control,
    )
    run.log.close()
    words = shlex.split(run.rows()[0]["command"])
    assert words[:3] == ["python", "-m", "mtsearch.train"]
    own, rest = split_pairs(words[3:], ("space", "control"))
    again = load_space(own["space"], rest)
    assert again.config.data.limit == 100
    trained = again.controls[own["control"]] if control else again.defaults
    assert again.trial(trained) == given.trial(tree)
    assert not any(word.startswith("search.") for word in words)


def test_only_one_living_driver_locks_a_run(run):
    holder = f"""
import sys, os
from mtsearch.runs.directory import RunDirectory
with RunDirectory({str(run.path)!r}).drive():
    print("held", flush=True)
    sys.stdin.read()
"""
    other = subprocess.Popen(
        [sys.executable, "-c", holder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout.readline() == "held\n"
    with pytest.raises(BadInput, match=str(run.path)), run:
        pass
    other.kill()
    other.wait()
    with run:
        pass
    other.stdin.close()
    other.stdout.close()


def test_a_resume_changes_the_configuration_that_is_read(run):
    run.log.append("resume", changes={"search.trials": 99})
    assert run.config.search.trials == 99
    assert run.space_with({"search.slots": 2}).config.search.slots == 2
    assert run.space_with({"search.slots": 2}).config.search.trials == 99


def test_an_atomic_write_leaves_no_other_file(tmp_path):
    write_atomic(tmp_path / "a", "old")
    write_atomic(tmp_path / "a", "new")
    assert [p.read_text() for p in tmp_path.iterdir()] == ["new"]


def test_dropping_a_checkpoint_takes_what_a_crash_left(run):
    for name in ("0001", ".0001.abc", ".0001.old", "0002"):
        (run.path / "checkpoints" / name).mkdir(parents=True)
    run.delete_checkpoint("0001")
    assert [p.name for p in (run.path / "checkpoints").iterdir()] == ["0002"]


def test_leftovers_are_removed_except_only_copies(run):
    for name in (
        "0001",
        ".0001.abc",
        ".0001.old",
        ".0002.old",
        ".0003.abc",
        ".my-control.0123abcd",
    ):
        (run.path / "checkpoints" / name).mkdir(parents=True)
    known = ["0001", "0002", "0003", "my-control"]
    run.prune_checkpoints(known, known)
    assert sorted(p.name for p in (run.path / "checkpoints").iterdir()) == [".0002.old", "0001"]


def test_uncreatable_results_folders_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"`results.root` is not a folder .*Not a directory"):
        create_run(space(tmp_path / "file" / "below"), {}, name="toy")


def test_reading_a_run_imports_neither_ray_nor_torch():
    code = (
        "import sys, mtsearch.runs.directory, mtsearch.runs.object_storage; print([m for m in"
        " ('ray', 'torch', 'optuna') if m in sys.modules])"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )


def test_rows_have_selected_metrics_and_total_cost(run):
    start(run)
    report(run, "0000", 1, **{"val/image/error": 50.0, "cost/steps": 10})
    report(run, "0000", 2, **{"val/image/error": 60.0, "cost/steps": 20})
    run.log.append("end", trial="0000", state="done", selected=1)
    (row,) = run.rows()
    assert (row["report"], row["val/image/error"], row["cost/steps"]) == (1, 50.0, 20)
    assert run.read_state(slim=True).trials["0000"].result["cost/steps"] == 20
    assert [entry["cost/steps"] for entry in run.history()] == [10, 20]


def test_forgotten_state_is_read_again(run):
    start(run)
    report(run, "0000", 1, **{"val/image/error": 5.0})
    before = run.state()
    run.forget_state()
    assert run.state() is not before and run.state().trials == before.trials


@pytest.mark.parametrize("root", ["s3:/bucket/x", "gs:/x"])
def test_results_url_with_one_slash_is_refused(root):
    with pytest.raises(BadInput, match="should be followed by two slashes"):
        opening.check_results(space(root))
