"""Observers: TensorBoard, MLflow, Weights & Biases and those of plug-ins, told how a search goes. Their packages are imported when used."""

from mtsearch.tuning.observers import mlflow, tensorboard, wandb  # noqa: F401  (registers them)
from mtsearch.tuning.observers.base import Observer, Standing, check_observers, observer

__all__ = ["Observer", "Standing", "check_observers", "observer"]
