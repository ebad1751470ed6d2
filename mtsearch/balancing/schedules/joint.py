"""All tasks in every step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from mtsearch.balancing.schedules.base import Group, Stream, TaskSchedule
from mtsearch.config import schema


class Joint(TaskSchedule):
    """An epoch is one pass through the largest set of images; smaller sets are repeated."""

    def __init__(self, settings: schema.JointConfig, names: Sequence[str]) -> None:
        super().__init__(settings, names)
        self.groups = (tuple(range(len(names))),)

    def epoch(self, streams: Mapping[Group, Stream], generator: torch.Generator) -> list[Group]:
        return list(self.groups) * self.steps_per_epoch(streams)

    def steps_per_epoch(self, streams: Mapping[Group, Stream]) -> int:
        return streams[self.groups[0]].batches
