"""Settings of backbones: the networks that architectures are made over."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from mtsearch.config.base import Model, method


@method("backbone", "mm")
class BackboneMM(Model):
    """The MultiMNIST trunk of MDMTN: two 5x5 convolutions and a linear layer to 50."""

    name: Literal["mm"] = "mm"


@method("backbone", "cm")
class BackboneCM(Model):
    """The Cifar10Mnist trunk of MDMTN: two 3x3 convolutions with batch norm and a linear layer to 32."""

    name: Literal["cm"] = "cm"


@method("backbone", "torchvision")
class BackboneTorchvision(Model):
    """Any classification network of torchvision without its last layer; `weights` is a local state dict (safetensors or weights-only)."""

    name: Literal["torchvision"] = "torchvision"
    model: str
    weights: Path | None = None
