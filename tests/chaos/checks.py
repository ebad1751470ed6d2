"""The check after every fault: no finished trial is lost, duplicated or repeated, no unfinished
trial stays in the study, and the numbers equal those of an undisturbed run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import optuna
import pyarrow.parquet as pq
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from mtsearch.runs.directory import RunDirectory

# Columns that differ between any two runs.
OWN = (
    "attempts",
    "process",
    "command",
    "cost/seconds",
)


def check_run(run: RunDirectory, expected: RunDirectory, *, differ: Iterable[str] = ()) -> None:
    """Compare a finished run with an undisturbed one. `differ` names the trials whose numbers the
    fault itself changes."""
    differ = set(differ)
    check_events(run)
    check_attempts(run)
    check_study(run)
    check_folder(run)
    for rows in (RunDirectory.rows, RunDirectory.history):
        mine, theirs = (
            [shown(row, bool(differ)) for row in rows(r) if row["trial"] not in differ]
            for r in (run, expected)
        )
        assert mine == theirs
    if not differ:
        assert table(run, "front") == table(expected, "front")
    assert [row["trial"] for row in table(run, "trials")] == [
        row["trial"] for row in table(expected, "trials")
    ]


def check_events(run: RunDirectory) -> None:
    """Every trial that started has one end, and after it nothing but at most one test; its reports
    are numbered 1, 2, ... once each."""
    ended, tested, reports = set(), Counter(), {}
    for event in run.events():
        kind, trial = event["event"], event.get("trial")
        if kind == "start":
            assert trial not in ended, f"{trial} was started again after its end"
            reports.setdefault(trial, [])
        elif kind == "report":
            assert trial not in ended, f"{trial} reported after its end"
            reports[trial].append(event["report"])
        elif kind == "end":
            assert trial not in ended, f"{trial} ended twice"
            ended.add(trial)
        elif kind == "test":
            assert trial in ended
            tested[trial] += 1
    assert set(reports) == ended, "trials without an end"
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in reports.values()), reports
    assert set(tested.values()) <= {1}


def check_attempts(run: RunDirectory) -> None:
    """The table contains the number of attempts of each trial, which is bounded."""
    starts, drivers = Counter(), 0
    for event in run.events():
        drivers += event["event"] in ("run", "resume")
        starts[event.get("trial")] += event["event"] == "start"
    bound = drivers * (run.config.search.max_failures + 1)
    for row in table(run, "trials"):
        assert row["attempts"] == starts[row["trial"]] and 1 <= row["attempts"] <= bound


def check_study(run: RunDirectory) -> None:
    """Optuna has each search trial once, in the state that the events give."""
    storage = JournalStorage(JournalFileBackend(str(run.journal)))
    found = optuna.load_study(study_name=run.config.name, storage=storage).get_trials()
    expected = [
        TrialState.COMPLETE if row["state"] == "done" else TrialState.FAIL
        for row in run.rows()
        if row["kind"] == "search"
    ]
    assert [trial.state for trial in found] == expected
    for trial, row in zip(found, run.rows(), strict=False):
        if trial.state == TrialState.COMPLETE:
            assert trial.values == [row[objective.metric] for objective in run.config.objectives]


def check_folder(run: RunDirectory) -> None:
    """No partial file is left, and no checkpoint except those of the front and the controls."""
    assert [p.name for p in run.path.iterdir() if p.name.startswith(".")] == [".driver.lock"]
    kept = {path.name for path in (run.path / "checkpoints").iterdir()}
    assert kept == {
        row["trial"]
        for row in table(run, "trials")
        if row["front"] or (row["kind"] == "control" and row["state"] == "done")
    }


def table(run: RunDirectory, name: str) -> list[dict]:
    """The rows of a table on disk."""
    return [
        shown(row, False) | {"attempts": row["attempts"]} if name == "trials" else shown(row, False)
        for row in read(run.path / f"{name}.parquet")
    ]


def read(path: Path) -> list[dict]:
    return pq.read_table(path).to_pylist()


def shown(row: dict, untested: bool) -> dict:
    """A row without columns that differ between runs, and without its test if the front differs."""
    left = {
        key: value
        for key, value in row.items()
        if key not in OWN and not (untested and key.startswith("test/"))
    }
    return {
        key: repr(value) if isinstance(value, float) and math.isnan(value) else value
        for key, value in left.items()
    }


def event_counts(run: RunDirectory, event: str) -> Counter:
    """The number of events of this kind by trial."""
    return Counter(e["trial"] for e in run.events() if e["event"] == event)
