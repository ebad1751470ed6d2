"""Errors of all tasks together, and the selection of a report by relative errors."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mtsearch.config.cards import TaskCard
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.training import Trial
from mtsearch.training.aggregates import ErrorUnits, error_units
from mtsearch.training.selection import Selection

CLASS = TaskCard(name="kind", outputs=2)
PRICE = TaskCard(name="price", kind="regression", outputs=1)


def dataset(tasks):
    """Half of the samples in each class; prices with a standard deviation of 50,000."""
    labels = {
        "kind": torch.tensor([0, 1, 0, 1]),
        "price": torch.tensor([[100_000.0], [200_000.0], [100_000.0], [200_000.0]]),
    }
    split = SimpleNamespace(labels={task.name: labels[task.name] for task in tasks})
    return SimpleNamespace(splits={"val": split}, card=SimpleNamespace(tasks=tasks))


def units(*tasks):
    return ErrorUnits(dataset(tasks), tasks)


def report(number, kind, price):
    return {
        "report": number,
        "phase": "train",
        "val/kind/error": kind,
        "val/price/error": price,
    }


def test_selection_ignores_the_units_of_tasks():
    selection = Selection(TrialConfig(), (CLASS, PRICE), units(CLASS, PRICE))
    weights = nn.Linear(1, 1)
    selection.consider("train", report(1, 48.0, 40_900.0), weights)  # smaller mean of % and units
    selection.consider("train", report(2, 5.0, 41_000.0), weights)
    assert selection.best()["report"] == 2
    assert selection.best()["score"][1] == pytest.approx((5 / 50 + 41_000 / 50_000) / 2)


def test_earliest_of_equal_reports_is_selected():
    selection = Selection(TrialConfig(), (CLASS, PRICE), units(CLASS, PRICE))
    for number in (1, 2):
        selection.consider("train", report(number, 5.0, 41_000.0), nn.Linear(1, 1))
    assert selection.best()["report"] == 1


def test_restored_scores_are_computed_again():
    first = Selection(TrialConfig(), (CLASS, PRICE), units(CLASS, PRICE))
    first.consider("train", report(1, 48.0, 40_900.0), nn.Linear(1, 1))
    state = first.state_dict()
    state["best"]["score"] = [0, 20_474.0]  # as versions before wrote it
    again = Selection(TrialConfig(), (CLASS, PRICE), units(CLASS, PRICE))
    again.load_state_dict(state, [report(1, 48.0, 40_900.0)], torch.device("cpu"))
    assert again.best()["score"] == first.best()["score"]


def test_plain_errors_where_all_are_percentages():
    found = units(CLASS).aggregates({"kind/error": 20.0})
    assert found == {"mean/error": 20.0, "worst/error": 20.0, "spread/error": 0.0}


def test_relative_errors_where_units_differ():
    found = units(CLASS, PRICE).aggregates({"kind/error": 5.0, "price/error": 41_000.0})
    assert found["worst/error"] == pytest.approx(0.82)
    assert found["mean/error"] == pytest.approx(0.46)
    assert found["spread/error"] == pytest.approx(0.72)


def test_reports_and_tests_have_aggregates():
    data = DataConfig(dataset="patches10_digits", limit=100)
    config = TrialConfig.model_validate({"epochs": {"search": 1, "retrain": 0}, "batch_size": 64})
    trial = Trial(config, data)
    (row,) = list(trial)
    errors = [row["val/image/error"], row["val/digit/error"]]
    assert row["val/mean/error"] == sum(errors) / 2
    assert row["val/worst/error"] == max(errors)
    assert row["val/spread/error"] == max(errors) - min(errors)
    assert {"test/mean/error", "test/worst/error", "test/spread/error"} <= set(
        trial.evaluate("test")
    )
    assert row["model/nonzero"] == row["model/trainable"] == row["model/params"]
    assert error_units(trial.dataset, trial.tasks) is error_units(trial.dataset, trial.tasks)
