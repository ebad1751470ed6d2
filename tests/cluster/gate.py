"""A plug-in for tests: trials that leave word of their node and, in a chosen epoch, wait until a file lets them go on."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Literal

from mtsearch.balancing import Linear, balancing
from mtsearch.config.base import Model, method


@method("balancing", "gated")
class GatedSettings(Model):
    """`folder` gets a file `on-NODE` from every trial, and `waiting` when one has come to the end of epoch `until`, where that is not 0."""

    name: Literal["gated"] = "gated"
    folder: str
    until: int = 0


@balancing(GatedSettings)
class Gated(Linear):
    """The weighted sum; a trial waits before the report of its epoch `until` as long as the folder has no file `open`."""

    def due(self, epoch: int) -> bool:
        folder = Path(self.settings.folder)
        (folder / f"on-{os.environ['SLURMD_NODENAME']}").touch()
        if epoch == self.settings.until:
            (folder / "waiting").touch()
            while not (folder / "open").exists():
                time.sleep(0.1)
        return False
