"""Tasks: the loss and the metrics of each kind of labelled prediction. Importing this package registers the kinds."""

from mtsearch.tasks import classification, regression, segmentation  # noqa: F401  (importing registers them)
from mtsearch.tasks.registry import Loss, Meter, loss, meter, meter_for, task_loss

__all__ = ["Loss", "Meter", "loss", "meter", "meter_for", "task_loss"]
