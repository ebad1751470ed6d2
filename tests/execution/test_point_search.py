"""A search over Pareto sets on Ray: points as rows, after an interruption, with two workers, and in
an object store."""

import pytest

from mtsearch.config.space import Space
from mtsearch.execution.callback import TuneCallback
from mtsearch.jobs.description import TRIAL_CLASS
from tests.execution.test_remote_search import objects
from tests.execution.test_search import checkpoints, comparable_rows
from tests.helpers.spaces import real

SET = {"name": "weights_line", "points": 3, "statistics": 1}


def line(root, **changes):
    raw = real(root).raw
    trial = {**raw["trial"], "sparsity": "none", "pareto_set": SET}
    controls = {"stl": {"architecture": "stl", "pareto_set": None, "batch_size": 64}}
    return Space({**raw, "trial": trial, "controls": controls, **changes})


@pytest.fixture
def whole(search):
    code, run, text = search(line(search.root / "whole"), trial_class=TRIAL_CLASS)
    assert code == 0, text
    return run


@pytest.mark.slow
def test_interrupted_search_gives_the_same_points(search, whole, monkeypatch):
    rows = comparable_rows(whole)
    assert [row["trial"] for row in rows] == [
        *(f"{trial}@{i:02d}" for trial in ("0000", "0001") for i in range(3)),
        "stl",
    ]
    front = {row["trial"] for row in rows if row.get("test/image/error") is not None} - {"stl"}
    parents = {name.partition("@")[0] for name in front}
    assert front and checkpoints(whole) == sorted({*front, *parents, "stl"})

    result, seen = TuneCallback.on_trial_result, []

    def interrupted(self, *arguments, **info):
        result(self, *arguments, **info)
        seen.append(info)
        if len(seen) == 5:
            self._interrupt.set()

    with monkeypatch.context() as patch:
        patch.setattr(TuneCallback, "on_trial_result", interrupted)
        code, run, _ = search(line(search.root / "cut"), trial_class=TRIAL_CLASS)
    assert code == 130
    code, run, text = search.resume(run, trial_class=TRIAL_CLASS)
    assert code == 0, text
    assert comparable_rows(run) == rows


@pytest.mark.slow
def test_two_workers_give_the_same_points(search, whole):
    two = line(search.root / "two", workers=2)
    code, run, text = search(two, trial_class=TRIAL_CLASS)
    assert code == 0, text
    ours, theirs = ([r["trial"] for r in comparable_rows(r)] for r in (whole, run))
    assert ours == theirs
    for one, other in zip(whole.rows(), run.rows(), strict=True):
        assert other["val/image/loss"] == pytest.approx(one["val/image/loss"], rel=0.05)


@pytest.mark.slow
def test_store_keeps_the_points_of_the_front(search, whole, url):
    remote = line(url, results={"root": url, "upload_every": 0})
    code, run, text = search(remote, trial_class=TRIAL_CLASS)
    assert code == 0, text
    assert comparable_rows(run) == comparable_rows(whole)
    assert objects(run, "checkpoints") == checkpoints(whole)
