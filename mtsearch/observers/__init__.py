"""Observers report a search to TensorBoard, MLflow, Weights & Biases or a plug-in's service. Their
packages are imported when they are used."""

from mtsearch.observers.base import Observer, check_observers, observer
from mtsearch.runs.status import SearchStatus

__all__ = ["Observer", "SearchStatus", "check_observers", "observer"]
