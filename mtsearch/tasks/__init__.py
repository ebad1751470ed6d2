"""Tasks: the loss and the metrics of each kind of labelled prediction."""

from mtsearch.tasks.losses import task_loss
from mtsearch.tasks.metrics import Meter, meter_for

__all__ = ["Meter", "meter_for", "task_loss"]
