"""Metrics that the driver computes: Delta-m against the control, and expressions."""

import pytest

from mtsearch.config.errors import Halt
from mtsearch.config.schema import DataConfig
from mtsearch.config.space import Space
from mtsearch.runs.opening import create_run
from mtsearch.strategy.manager import TrialManager
from tests.helpers.spaces import space

TASKS = {"image": "classification", "digit": "classification"}


@pytest.fixture
def managed(tmp_path):
    opened = []

    def make(objectives, **changes):
        made = Space({**space(tmp_path).raw, "objectives": objectives, **changes})
        run = create_run(made, {"tasks": TASKS}, name="toy")
        opened.append(run)
        return TrialManager(run, made, DataConfig(dataset="cifar10_mnist"))

    yield make
    for run in opened:
        run.log.close()


def report(number=1, image=50.0, digit=20.0, **metrics):
    errors = {"val/image/error": image, "val/digit/error": digit}
    return {"report": number, "epoch": number, **errors, **metrics}


def test_delta_m_waits_for_its_control(managed):
    manager = managed(["val/delta_m", "val/image/error"])
    assert manager.next_trial().trial == "stl"
    assert manager.next_trial() is None and manager.pending
    manager.reports("stl", [report(image=60.0, digit=20.0)])
    manager.done("stl", 1)
    assert manager.state.trials["stl"].state == "done"
    trial = manager.next_trial().trial
    manager.reports(trial, [report(image=50.0, digit=20.0)])
    manager.done(trial, 1)
    found = manager.state.trials[trial].result["val/delta_m"]
    assert found == pytest.approx(100 * (50 - 40) / 40 / 2)
    assert manager.front()[0].trial == trial
    again = TrialManager(manager.run, manager.space, manager.data)  # a resume
    assert again.next_trial() is not None


def test_failed_control_of_delta_m_halts_the_run(managed):
    manager = managed(["val/delta_m"])
    manager.next_trial()
    manager.failed("stl", "out of memory")
    with pytest.raises(Halt, match="control stl, which failed: out of memory"):
        manager.next_trial()


def test_expressions_are_columns_of_every_report(managed):
    score = {"name": "score", "expression": "0.5*val/image/error + val/digit/error"}
    manager = managed([score], constraints=[{"metric": "score", "max": 100}])
    manager.next_trial()
    trial = manager.next_trial().trial
    manager.reports(trial, [report(1), report(2, image=30.0)])
    manager.done(trial, 2)
    history = manager.state.trials[trial]
    assert history.result["score"] == 35.0
    assert manager.run.rows()[0]["score"] == 35.0


def test_division_by_zero_fails_the_trial_with_a_reason(managed):
    manager = managed([{"name": "ratio", "expression": "val/image/error / val/digit/error"}])
    manager.next_trial()
    trial = manager.next_trial().trial
    manager.reports(trial, [report(1, digit=0.0)])
    manager.done(trial, 1)
    record = manager.state.trials[trial]
    assert record.state == "failed"
    assert record.reason == (
        "`val/image/error / val/digit/error` divides by zero in its selected report"
    )


def test_final_latency_replaces_that_of_the_report(managed):
    score = {"name": "score", "expression": "2 * model/latency"}
    manager = managed(["model/latency", score])
    manager.next_trial()
    trial = manager.next_trial().trial
    manager.reports(trial, [report(1, **{"model/latency": 9.0})])
    manager.done(trial, 1, measured={"model/latency": 4.0})
    assert manager.state.trials[trial].result["score"] == 8.0
    again = manager.run.read_state().trials[trial]
    assert (again.result["model/latency"], again.result["score"]) == (4.0, 8.0)
