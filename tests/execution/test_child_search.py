"""A search on Ray whose third trial begins with the weights of the first."""

import shlex

import pytest

from mtsearch.commands.train import main as train
from mtsearch.config.space import Space
from mtsearch.execution.callback import TuneCallback
from mtsearch.jobs.description import TRIAL_CLASS
from mtsearch.runs.opening import open_run
from tests.execution.test_search import comparable_rows
from tests.helpers.spaces import real

CHILD = {"start": {"trial": "0000"}, "optimizer.lr": 0.001, "epochs": {"search": 1, "retrain": 1}}


def children(root, **changes):
    raw = real(root).raw
    search = {**raw["search"], "trials": 3, "start": [{}, {"batch_size": 64}, CHILD]}
    return Space({**raw, "search": search, **changes})


@pytest.mark.slow
def test_child_row_is_trained_again_by_its_command(search, monkeypatch, tmp_path, capsys):
    space = children(search.root / "whole")
    code, run, text = search(space, trial_class=TRIAL_CLASS)
    assert code == 0, text
    row = run.rows()[2]
    assert row["trial.start.trial"] == "0000" and row["trial"] == "0002"
    assert (row["cost/epochs"], row["cost/lineage_epochs"]) == (2, 5)

    (tmp_path / "toy.yaml").write_text(space.to_yaml())
    words = shlex.split(row["command"].replace("space=toy", f"space={tmp_path / 'toy.yaml'}"))[3:]
    assert train([*words, f"results.root={tmp_path}"]) == 0
    place = capsys.readouterr().out.rsplit("run: ", 1)[1].strip()
    again = open_run(place).rows()[0]
    equal = [key for key in row if key.startswith(("val/", "train/", "model/"))]
    assert {key: again[key] for key in equal} == {key: row[key] for key in equal}
    assert again["cost/lineage_epochs"] == 5

    result, seen = TuneCallback.on_trial_result, []

    def interrupted(self, *arguments, **info):
        result(self, *arguments, **info)
        seen.append(info)
        if len(seen) == 7:  # the first report of the child
            self._interrupt.set()

    with monkeypatch.context() as patch:
        patch.setattr(TuneCallback, "on_trial_result", interrupted)
        code, cut, _ = search(children(search.root / "cut"), trial_class=TRIAL_CLASS)
    assert code == 130
    code, cut, text = search.resume(cut, trial_class=TRIAL_CLASS)
    assert code == 0, text
    assert comparable_rows(cut) == comparable_rows(run)


@pytest.mark.slow
def test_repeats_and_two_workers_train_the_lineage(search):
    space = children(search.root / "two", workers=2)
    space = Space({**space.raw, "search": {**space.raw["search"], "repeats": 2}})
    code, run, text = search(space, trial_class=TRIAL_CLASS)
    assert code == 0, text
    found = {row["trial"]: row for row in run.rows()}
    assert all(row["state"] == "done" for row in found.values())
    assert found["0002.s1"]["trial.start.trial"] == "0000.s1"
