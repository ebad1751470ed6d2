"""Training: one trial as an object that yields reports. Plain PyTorch; imports neither Ray nor
Optuna."""

from mtsearch.training.trial import Diverged, Trial
from mtsearch.training.world import World

__all__ = ["Diverged", "Trial", "World"]
