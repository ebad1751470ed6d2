"""The tasks in turn."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from mtsearch.balancing.schedules.base import Group, Stream, TaskSchedule


class RoundRobin(TaskSchedule):
    """`every` steps of the first task, then of the second, and so on, repeated."""

    def epoch(self, streams: Mapping[Group, Stream], generator: torch.Generator) -> list[Group]:
        turn = [group for group in self.groups for _ in range(self.settings.every)]
        return turn * self._rounds(streams)

    def steps_per_epoch(self, streams: Mapping[Group, Stream]) -> int:
        return len(self.names) * self.settings.every * self._rounds(streams)

    def _rounds(self, streams: Mapping[Group, Stream]) -> int:
        return self.settings.rounds or math.ceil(
            max(stream.batches for stream in streams.values()) / self.settings.every
        )
