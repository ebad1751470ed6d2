"""Observers: TensorBoard, MLflow, Weights & Biases and those of plug-ins, told how a search goes.
Their packages are imported when used."""

from mtsearch.observers.base import Observer, check_observers, observer
from mtsearch.runs.status import SearchStatus

__all__ = ["Observer", "SearchStatus", "check_observers", "observer"]
