import json
import os
import shutil
from collections import Counter
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from mtsearch.config.errors import BadInput
from mtsearch.config.space import Space
from mtsearch.execution import engine
from mtsearch.execution.callback import TuneCallback
from mtsearch.jobs.job import Job
from mtsearch.runs.directory import RunDirectory
from mtsearch.runs.opening import create_run
from tests.helpers.fake import FakeTrial, order
from tests.helpers.fixtures import FAKE, PLAN
from tests.helpers.spaces import real, space

STUDY = "toy"
MADE: dict = {}


def comparable_rows(run):
    """All rows without columns that differ between runs."""
    left = ("attempts", "command", "process", "cost/seconds")
    return [{k: v for k, v in row.items() if k not in left} for row in run.rows()]


def history_of(run):
    return [
        {k: v for k, v in row.items() if k not in ("process", "cost/seconds")}
        for row in run.history()
    ]


def states(run):
    import optuna

    study = optuna.load_study(
        study_name=STUDY, storage=JournalStorage(JournalFileBackend(str(run.journal)))
    )
    return [t.state for t in study.get_trials()]


def event_counts(run, event):
    return Counter(e["trial"] for e in run.events() if e["event"] == event)


def checkpoints(run):
    return sorted(p.name for p in (run.path / "checkpoints").iterdir())


def texts(run):
    """All text files except the configuration of the user."""
    endings = (".json", ".jsonl", ".journal", ".csv", ".md", ".html")
    found = [p for p in run.path.rglob("*") if p.suffix in endings]
    assert {p.name for p in found} >= {
        "environment.json",
        "events.jsonl",
        "study.journal",
        "state.json",
        "front.md",
    }
    return found


def content(run):
    return {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file() and p.suffix != ".lock"}


@pytest.fixture
def undisturbed(search, request):
    """An undisturbed search of 5 trials, run once: (exit code, run, text)."""
    if "undisturbed" not in MADE:
        root = request.getfixturevalue("tmp_path_factory").mktemp("undisturbed")
        MADE["undisturbed"] = search(space(root, trials=5, slots=2))
    return MADE["undisturbed"]


def test_a_search_trains_tests_and_keeps_the_front(search, undisturbed):
    code, run, text = undisturbed
    assert code == 0
    rows = {row["trial"]: row for row in run.rows()}
    assert list(rows) == [f"{i:04d}" for i in range(5)] + ["stl"]
    assert all(row["state"] == "done" and row["epoch"] == 3 for row in rows.values())
    front = {name for name, row in rows.items() if "test/image/error" in row} - {"stl"}
    assert front == {"0002", "0003", "0004"}
    assert "test/digit/error" in rows["stl"]
    assert checkpoints(run) == sorted(front | {"stl"})
    assert all(
        (run.path / name).exists()
        for name in ("trials.parquet", "history.parquet", "front.parquet", "front.csv", "front.md")
    )
    assert states(run) == [TrialState.COMPLETE] * 5
    assert "patches10_digits (embedded sample; used in place of cifar10_mnist)" in text
    assert os.uname().nodename not in json.dumps(run.environment)
    assert not [
        path
        for path in texts(run)
        if str(run.path.parent) in path.read_text() or os.getcwd() in path.read_text()
    ]


def test_only_the_selected_report_counts(search):
    order("nan", 1, 3)
    order("nan", 2, 2)
    code, run, _ = search(space(search.root, trials=2))
    assert code == 0
    assert [row["state"] for row in run.rows()] == ["failed", "done", "done"]
    assert "`val/image/error` is nan" in run.rows()[0]["reason"]
    assert states(run) == [TrialState.FAIL, TrialState.COMPLETE]


@pytest.mark.parametrize("sampler", ["random", "qmc", "grid"])
def test_rows_are_independent_of_slots(search, sampler):
    _, one, _ = search(space(search.root, sampler=sampler, trials=5, slots=1))
    _, two, _ = search(space(search.root, sampler=sampler, trials=5, slots=2))
    assert len({row["process"] for row in one.history()}) == 1, "one process serves many trials"
    assert comparable_rows(one) == comparable_rows(two) and history_of(one) == history_of(two)


def test_resuming_what_is_finished_changes_nothing(search, undisturbed):
    run = undisturbed[1]
    before = content(run)
    for _ in range(2):
        code, _, _ = search.resume(run)
        assert code == 0
    after = content(run)
    assert before.keys() == after.keys()
    assert [p.name for p in before if before[p] != after[p]] == []


@pytest.mark.parametrize("sampler", ["tpe", {"name": "curves", "startup": 2}])
def test_extended_runs_equal_longer_runs(search, sampler):
    _, long, _ = search(space(search.root, sampler=sampler, trials=6, slots=1))
    _, run, _ = search(space(search.root, sampler=sampler, trials=3, slots=1))
    code, again, _ = search.resume(run, {"search.trials": 6})
    assert code == 0 and again.path == run.path
    search.resume(run, {"search.trials": 6})
    assert [e["changes"] for e in run.events() if e["event"] == "resume"] == [{"search.trials": 6}]
    alike = [
        {k: v for k, v in row.items() if not k.startswith("test/")} for row in comparable_rows(run)
    ]
    assert alike == [
        {k: v for k, v in row.items() if not k.startswith("test/")} for row in comparable_rows(long)
    ]
    tested = {row["trial"] for row in run.rows() if "test/image/error" in row}
    assert tested >= {row["trial"] for row in long.rows() if "test/image/error" in row}
    assert event_counts(run, "test").most_common(1)[0][1] == 1


def test_used_up_budgets_start_no_trial(search):
    code, run, text = search(space(search.root, trials=4, budget=1e-9))
    assert code == 1 and run.rows() == [] and "`search.budget` is used up after 0 of 4" in text
    code, run, _ = search.resume(run, {"search.budget": None})
    assert code == 0 and len(run.rows()) == 5


@pytest.mark.parametrize("running", ["finish", "stop"])
def test_stop_rule_ends_the_search(search, running):
    """The second trial reports the 7th epoch; a resume without the rule trains the others."""
    stop = {"epochs": 7, "running": running}
    code, run, text = search(space(search.root, trials=8, epochs=3, slots=1, stop=stop))
    rows = {row["trial"]: row["state"] for row in run.rows()}
    last = "done" if running == "finish" else "stopped"
    line = "`search.stop.epochs` has ended the search: 7 epochs are trained, the limit is 7"
    assert code == 0 and rows == {"0000": "done", "0001": last, "stl": "done"}
    assert f"{line}, after 2 trials." in text
    assert f"{line}." in (run.path / "front.md").read_text()
    assert "at the first of 8 trials, 7 epochs" in text
    code, run, _ = search.resume(run)
    assert code == 0 and len(run.rows()) == 3
    code, run, _ = search.resume(run, {"search.stop.epochs": None})
    assert code == 0 and len(run.rows()) == 9 and run.state().stop is None


def test_other_data_are_refused_on_resume(search, undisturbed):
    run = RunDirectory(shutil.copytree(undisturbed[1].path, search.root / "copy"))
    facts = {**run.environment, "checksum": "0" * 64}
    (run.path / "environment.json").write_text(json.dumps(facts))
    with pytest.raises(BadInput, match="checksum 000000000000"):
        search.resume(run, {"search.trials": 20})


@pytest.fixture
def job(tmp_path, monkeypatch):
    """`job(...)` is a job in this process."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv(PLAN, str(tmp_path))
    made = {
        "checkpoint": {"folder": str(tmp_path / "0000")},
        "config": space(tmp_path).defaults,
        "data": {"dataset": "none"},
        "trial_class": FAKE,
    }
    return lambda gpu=0, purpose="train": Job(
        json.dumps({**made, "gpu": gpu, "purpose": purpose, "plugins": []})
    )


def test_trials_without_gpu_share_see_no_gpu(job):
    for gpu, seen in ((0.5, "0,1"), (0, "")):
        assert not job(gpu=gpu).step().failed and os.environ["CUDA_VISIBLE_DEVICES"] == seen


def test_damaged_unfinished_trials_repeat_the_same_reports(job, tmp_path):
    one = job()
    whole = [one.step() for _ in range(3)]
    (tmp_path / "0000" / "state.json").write_text('{"config"')
    two = job()
    again = [two.step() for _ in range(3)]
    assert again[0].note.startswith("trained again from its start") and whole[0].note is None
    assert [replace(again[0], note=None), *again[1:]] == whole
    (tmp_path / "0000" / "state.json").write_text('{"config"')
    assert "JSONDecodeError" in job(purpose="test").step().failed, (
        "a finished trial is not trained again"
    )


def test_only_a_resume_finds_moved_data(tmp_path, monkeypatch):
    run = create_run(space(tmp_path), {"checksum": "abc"}, name="toy")
    asked = []
    monkeypatch.setattr(engine, "check_space", lambda space: None)
    monkeypatch.setattr(
        engine, "concrete_data", lambda space, facts: asked.append(space.config.data) or 1 / 0
    )
    with pytest.raises(ZeroDivisionError):
        engine.resume(run.path, {"data.root": "/elsewhere", "data.store": "/stores"})
    assert (str(asked[0].root), str(asked[0].store)) == ("/elsewhere", "/stores")
    assert run.config.data.root is None and [e["event"] for e in run.events()] == ["run"]


def test_runs_without_any_trial_are_unfinished(search):
    order("raise", 1, 1)
    code, run, _ = search(space(search.root, trials=1))
    assert code == 1 and [row["state"] for row in run.rows()] == ["failed", "done"]


def test_constraints_keep_trials_off_the_front(search):
    raw = space(search.root, trials=4).raw | {
        "constraints": [{"metric": "model/density", "max": 0.4}]
    }
    _, run, _ = search(Space(raw))
    rows = {row["trial"]: row for row in run.rows()}
    assert [name for name, row in rows.items() if "test/image/error" in row] == [
        "0002",
        "0003",
        "stl",
    ]


def test_the_driver_keeps_nothing_of_tunes_ended_trials(search, monkeypatch):
    made = []
    monkeypatch.setattr(
        engine, "TuneCallback", lambda *args: made.append(TuneCallback(*args)) or made[-1]
    )
    order("raise", 2, 1)
    order("die", 3, 2)
    code, run, _ = search(space(search.root, slots=2))
    assert code == 0 and len(run.rows()) == 6
    (recorder,) = made
    assert (
        len(recorder._trials) > 6
        and recorder._running == recorder._last_result == recorder._group_starts == {}
    )
    for trial in recorder._trials:
        assert (
            trial.is_finished()
            and trial.config == trial.evaluated_params == trial.run_metadata.metric_analysis == {}
        )
        assert len("".join(trial.get_json_state())) < 10
    assert len({id(trial.placement_group_factory) for trial in recorder._trials}) == 1


REAL = "tests.helpers.mortal:MortalTrial"


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["grid", "random", "qmc"])
def test_real_searches_are_reproducible_for_all_slots(search, sampler):
    runs = [
        search(real(search.root / str(n), sampler=sampler, slots=slots), trial_class=REAL)[1]
        for n, slots in enumerate((1, 1, 2))
    ]
    tables = [
        pq.read_table(run.path / "trials.parquet").sort_by("trial").to_pylist() for run in runs
    ]
    kept = [
        [
            {k: v for k, v in row.items() if not k.startswith("cost/") and k != "command"}
            for row in rows
        ]
        for rows in tables
    ]
    assert kept[0] == kept[1] == kept[2]
    assert [row["state"] for row in kept[0]] == ["done", "done"]


def halved(folder, **changes):
    """Eight trials under successive halving, the good ones first."""
    raw = space(
        folder, trials=8, epochs=4, scheduler={"name": "moasha", "grace": 1, "reduction": 2}
    ).raw
    raw["trial"]["batch_size"] = {"choice": [8, 7, 6, 5, 4, 3, 2, 1], "default": 8}
    return Space(raw | changes)


@pytest.mark.slow
def test_schedulers_stop_worker_groups_like_processes(search):
    rows = {}
    for workers in (1, 2):
        code, run, _ = search(halved(search.root / str(workers), workers=workers))
        assert code == 0
        rows[workers] = comparable_rows(run)
        assert set(event_counts(run, "end").values()) == {1}
    assert rows[1] == rows[2]
    assert {row["state"] for row in rows[2]} == {"done", "stopped"}


def test_interrupted_searches_stop_the_same_trials(search):
    code, run, text = search(halved(search.root / "whole"))
    assert code == 0
    rows = {row["trial"]: row for row in run.rows()}
    stopped = {name for name, row in rows.items() if row["state"] == "stopped"}
    assert stopped and all("trials at report" in rows[name]["reason"] for name in stopped)
    assert all(
        rows[name]["report"] in (1, 2) and "test/image/error" not in rows[name] for name in stopped
    )
    assert rows["stl"]["state"] == "done"  # controls are never stopped
    assert stopped.isdisjoint(checkpoints(run)) and f"{len(stopped)} stopped early" in text
    assert [s == TrialState.PRUNED for s in states(run)] == [
        name in stopped for name in sorted(rows) if name != "stl"
    ]

    order("interrupt", 3, 2, os.getpid())
    code, cut, _ = search(halved(search.root / "cut"))
    assert code == 130
    os.unlink(cut.journal)  # the study is rebuilt from the events
    code, cut, _ = search.resume(cut)
    assert code == 0 and comparable_rows(cut) == comparable_rows(run)
    assert states(cut) == states(run)


def test_decided_ends_survive_a_driver_death(search):
    code, run, _ = search(halved(search.root / "whole"))
    assert code == 0
    lines, rows, known = run.events_path.read_text().splitlines(), comparable_rows(run), states(run)
    ends = [
        n
        for n, line in enumerate(lines)
        if json.loads(line)["event"] == "end" and json.loads(line)["state"] == "stopped"
    ]
    report, name = json.loads(lines[ends[0] - 1]), json.loads(lines[ends[0]])["trial"]
    assert report["event"] == "report" and report["stop"] == json.loads(lines[ends[0]])["reason"]
    run.events_path.write_text("\n".join(lines[: ends[0]]) + "\n")
    assert run.state().trials[name].state == "running"
    code, run, _ = search.resume(run)
    assert code == 0 and comparable_rows(run) == rows and states(run) == known
    assert run.state().trials[name].attempts == 1


def test_unserialisable_test_metrics_fail_only_their_trial(job, monkeypatch):
    whole = job()
    while not whole.step().done:
        pass
    one = job(purpose="test")
    monkeypatch.setattr(FakeTrial, "evaluate", lambda trial, *_: {"test/image/error": {1, 2}})
    history_of = one.step()
    assert (
        history_of.test is None and "not JSON serializable" in history_of.failed and history_of.done
    )


def test_small_space_ends_early_and_says_so(search):
    raw = space(search.root, trials=5, sampler={"name": "tpe", "startup": 1}).raw
    raw["trial"] = {
        "epochs": {"search": 1, "retrain": 1},
        "batch_size": {"choice": [8, 7], "default": 8},  # 8 is the control's, too
    }
    raw["resources"] = {"cpu": 0.5, "gpu": "auto"}
    code, run, text = search(Space(raw))
    assert code == 0
    assert "gpu        0 a trial, by `resources.gpu: auto`" in text
    assert [row["trial.batch_size"] for row in run.rows() if row["kind"] == "search"] in (
        [8, 7],
        [7, 8],
    )
    assert [row["state"] for row in run.rows()] == ["done"] * 3
    sentence = "the space has 2 different configurations, so the search has 2 trials instead of"
    assert text.splitlines()[-2].startswith(sentence)
    code, again, text = search.resume(run, {"search.trials": 9})
    assert code == 0 and len(again.rows()) == 3
    assert "instead of `search.trials` = 9" in text


def test_dry_run_names_a_small_space(tmp_path):
    from mtsearch.execution.dry_run import dry_run

    raw = space(tmp_path, trials=5, sampler="random").raw
    raw["trial"] = {"batch_size": {"choice": [8, 7], "default": 8}}
    raw["resources"] = {"cpu": 0.5, "gpu": "auto"}
    page = dry_run(Space(raw))
    assert "GPU" not in page.partition("at once: ")[2].splitlines()[0]
    assert "trials   2 by random" in page
    assert "the space has 2 different configurations" in page
