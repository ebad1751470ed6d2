"""A training with a Pareto set: every point is a row with its own checkpoint, test and export."""

import json

import numpy as np
import pytest
import torch

import mtsearch
from mtsearch.config.errors import BadInput
from mtsearch.jobs.restore import load_trial
from mtsearch.runs.events import EventLog

SPACE = """
name: line
data: {dataset: patches10_digits, limit: 200}
objectives: [val/image/error, val/digit/error]
trial:
  epochs: {search: 1, retrain: 1}
  optimizer: {name: adamw, lr: 0.003}
  pareto_set: {name: weights_line, points: 3, statistics: 2}
"""


def train(root):
    root.mkdir(exist_ok=True)
    (root / "line.yaml").write_text(SPACE)
    overrides = {"results.root": str(root / "runs")}
    return mtsearch.train_one(root / "line.yaml", overrides=overrides, test=True, progress=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(tmp_path_factory.mktemp("runs"))


def timeless(rows):
    changing = ("cost/seconds", "command", "attempts")
    return [{k: v for k, v in row.items() if k not in changing} for row in rows]


def test_points_are_rows_with_their_tests(run):
    rows = list(run.trials)
    assert [row["trial"] for row in rows] == ["0000@00", "0000@01", "0000@02"]
    assert [row["trial.preference.image"] for row in rows] == [0.0, 0.5, 1.0]
    assert {row["trial.pareto_set.name"] for row in rows} == {"weights_line"}
    assert all(row["state"] == "done" and row["test/image/error"] >= 0 for row in rows)
    assert len({row["cost/steps"] for row in rows}) == 1
    assert len({row["command"] for row in rows}) == 1
    for row in rows:
        trial = load_trial(run.directory, row["trial"])
        found = trial.evaluate("test")
        assert {k: row[k] for k in found} == found


@pytest.mark.parametrize("pick", ["trial:0000@02", "preference:image=.73,digit=.27"])
def test_exported_network_equals_the_point(run, pick, tmp_path):
    picked = run.pick(pick)
    out = picked.export(tmp_path / "model")
    weight = 1.0 if "@" in pick else 0.73
    network = load_trial(run.directory, "0000").selected_model(
        preference={"image": weight, "digit": 1 - weight}
    )
    predictor = picked.load()
    images = torch.rand(4, *predictor.shape)
    with torch.no_grad():
        expected = {name: value for name, value in predictor(images).items()}
        program = torch.export.load(out / "model.pt2").module()(images)
        for ours, theirs in zip(predictor.network.parameters(), network.parameters(), strict=True):
            assert torch.allclose(ours, theirs, atol=1e-6)
    for name, value in expected.items():
        assert torch.allclose(program[name], value, atol=1e-5)
    card = json.loads((out / "card.json").read_text())
    assert card["preference"] == pytest.approx({"image": weight, "digit": 1 - weight})
    predicted = picked.load().predict(np.zeros((32, 32, 3), np.uint8))
    assert set(predicted[0]) == {"image", "digit"}


def test_preference_outside_the_tasks_is_refused(run):
    with pytest.raises(BadInput, match="names a trial with 3 points, `0000@00` to `0000@02`"):
        run.pick("trial:0")
    with pytest.raises(BadInput, match="names `sound`"):
        run.pick("preference:sound=1")


class Killed(BaseException):
    """What ends the process, here without one."""


@pytest.mark.parametrize(
    "after",
    [
        pytest.param("report", marks=pytest.mark.slow),
        "end",
        pytest.param("test", marks=pytest.mark.slow),
    ],
)
def test_interrupted_training_gives_the_same_rows(run, after, tmp_path, monkeypatch):
    append, count = EventLog.append, []

    def killed(self, event, **fields):
        found = append(self, event, **fields)
        if event == after:
            count.append(event)
        if len(count) == 1:
            raise Killed
        return found

    with monkeypatch.context() as patch:
        patch.setattr(EventLog, "append", killed)
        with pytest.raises(Killed):
            train(tmp_path)
    (folder,) = (tmp_path / "runs" / "line").iterdir()
    continued = mtsearch.resume(folder, progress=False)
    assert timeless(continued.trials) == timeless(run.trials)
