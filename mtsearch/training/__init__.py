"""Training: one trial as an object that yields reports. Plain PyTorch; imports neither Ray nor
Optuna."""

from mtsearch.training.protocol import Diverged, TrialProtocol
from mtsearch.training.trial import Trial
from mtsearch.training.world import World

__all__ = ["Diverged", "Trial", "TrialProtocol", "World"]
