"""Tasks: the loss and the metrics of each kind of labelled prediction. Importing this package
registers the kinds."""

from mtsearch.tasks import (
    classification,
    multilabel,
    ordinal,
    regression,
    restoration,
    segmentation,
)
from mtsearch.tasks.constant import constant, constant_error, unit_of_error
from mtsearch.tasks.registry import Loss, Meter, loss, loss_of, meter, meter_for, task_loss

__all__ = [
    "Loss",
    "Meter",
    "constant",
    "constant_error",
    "loss",
    "loss_of",
    "meter",
    "meter_for",
    "task_loss",
    "unit_of_error",
]
