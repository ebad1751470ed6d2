"""A trial for `turnover.py`: the real one, which writes down when its first step begins and its
last one ends."""

from __future__ import annotations

import os
import time
from typing import Any

from mtsearch.training import Trial

LOG = (  # names the file; a line is the moment in Unix seconds and `begin` or `end`
    "MTSEARCH_BENCHMARK_CLOCK"
)


class ClockedTrial(Trial):
    """A `Trial` whose rank 0 keeps the time."""

    def __next__(self) -> dict[str, Any]:
        if not self.reports:
            self._stamp("begin")
        report = super().__next__()
        if self.finished:
            self._stamp("end")
        return report

    def _stamp(self, what: str) -> None:
        if self.world.rank == 0:
            with open(os.environ[LOG], "a") as file:
                file.write(f"{time.time()} {what}\n")
