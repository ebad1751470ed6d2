"""A plug-in for tests: trials that record their node and wait in a chosen epoch until a file
exists."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Literal

from mtsearch.balancing import Linear, balancing
from mtsearch.config.base import Model
from mtsearch.config.registry import method


@method("balancing", "gated")
class GatedSettings(Model):
    """Every trial leaves a file `on-NODE` in `folder`. One whose `until` is 0 waits for trials on
    `nodes` nodes; another one, at the end of its epoch `until`, leaves a file `waiting` and waits
    for a file `open`."""

    name: Literal["gated"] = "gated"
    folder: str
    nodes: int = 2
    until: int = 0


@balancing(GatedSettings)
class Gated(Linear):
    """The weighted sum, with the waits before the report of an epoch."""

    def due(self, epoch: int) -> bool:
        folder = Path(self.settings.folder)
        (folder / f"on-{os.environ['SLURMD_NODENAME']}").touch()
        if self.settings.until == 0:
            while len(list(folder.glob("on-*"))) < self.settings.nodes:
                time.sleep(0.1)
        if epoch == self.settings.until:
            (folder / "waiting").touch()
            while not (folder / "open").exists():
                time.sleep(0.1)
        return False
