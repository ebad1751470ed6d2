"""Settings of architectures: how tasks share a network."""

from __future__ import annotations

from typing import Literal

from mtsearch.config.base import Model, method


@method("architecture", "stl")
class STL(Model):
    """One network per task, nothing shared: the single-task control."""

    name: Literal["stl"] = "stl"


@method("architecture", "hps")
class HPS(Model):
    """Hard parameter sharing: one trunk, one head per task (Caruana 1997)."""

    name: Literal["hps"] = "hps"


@method("architecture", "mdmtn")
class MDMTN(Model):
    """A shared trunk plus one monitor per task on the raw image, mixed by a learnable pair (Hotegni et al. 2024)."""

    name: Literal["mdmtn"] = "mdmtn"
    mixing: Literal["learnable", "static"] = "learnable"
