"""Tasks: the loss and the metrics of each kind of labelled prediction. Importing this package
registers the kinds."""

from mtsearch.tasks import (
    classification,
    depth,
    multilabel,
    normals,
    ordinal,
    regression,
    restoration,
    segmentation,
)
from mtsearch.tasks.constant import constant, constant_error, unit_of_error
from mtsearch.tasks.geometry import Geometry, check_geometry, geometry, hooks_of, unchanged
from mtsearch.tasks.registry import Loss, Meter, loss, loss_of, meter, meter_for, task_loss
from mtsearch.tasks.restoration import check_size

__all__ = [
    "Geometry",
    "Loss",
    "Meter",
    "check_geometry",
    "check_size",
    "constant",
    "constant_error",
    "geometry",
    "hooks_of",
    "loss",
    "loss_of",
    "meter",
    "meter_for",
    "task_loss",
    "unchanged",
    "unit_of_error",
]
