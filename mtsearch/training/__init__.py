"""Training of one trial, an iterator over reports. Plain PyTorch, without Ray or Optuna."""

from mtsearch.training.protocol import Diverged, TrialProtocol
from mtsearch.training.trial import Trial
from mtsearch.training.world import World

__all__ = ["Diverged", "Trial", "TrialProtocol", "World"]
