"""Task kinds are found by name in tables, and a kind that lacks a part is refused with a
sentence."""

import pytest
import torch
from pydantic import ValidationError

from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.config.metrics import TASK_METRICS, Metric, task_metrics
from mtsearch.models import need_of
from mtsearch.tasks import loss, meter, meter_for, task_loss

MINIMISED = {"loss": Metric("min"), "error": Metric("min")}


@pytest.fixture
def bare():
    """A kind with metrics only."""
    task_metrics("bare", MINIMISED, labels="values")
    yield TaskCard(name="t", kind="bare", outputs=1)
    del TASK_METRICS["bare"]


def test_an_unknown_kind_names_the_nearest():
    with pytest.raises(
        ValidationError, match=r"unknown task kind `clasification`. Did you mean `classification`"
    ):
        TaskCard(name="t", kind="clasification", outputs=2)


def test_a_kind_without_its_parts_is_refused(bare):
    with pytest.raises(BadInput, match="without a loss: `bare`"):
        task_loss(bare, torch.zeros(1, 1), torch.zeros(1, 1))
    with pytest.raises(BadInput, match="without a meter: `bare`"):
        meter_for(bare, torch.device("cpu"))
    with pytest.raises(BadInput, match=r"of a kind with a head\. Found `bare`"):
        need_of(bare)


def test_kinds_must_declare_loss_and_error():
    with pytest.raises(BadInput, match="should have a metric `error`"):
        task_metrics("half", {"loss": Metric("min")})


def test_duplicate_names_are_refused():
    with pytest.raises(BadInput, match="already taken, with the metrics loss, error, pixel_error"):
        task_metrics("segmentation", MINIMISED)
    with pytest.raises(
        BadInput,
        match=(
            r"meter of the task kind `regression` .* is already taken by mtsearch.tasks.regression"
        ),
    ):
        meter("regression")(type("Other", (), {}))
    with pytest.raises(BadInput, match=r"loss of regression `mse` .* already taken"):
        loss("regression", "mse")(lambda task, output, target: (output.sum(), output.sum()))


def test_unlabelled_value_depends_on_the_kind():
    assert TaskCard(name="t", outputs=2, ignore=255).missing == 255
    assert (
        TaskCard(name="t", outputs=2, kind="regression").missing
        != TaskCard(name="t", outputs=2, kind="regression").missing
    )
