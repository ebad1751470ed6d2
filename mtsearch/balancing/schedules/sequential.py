"""One task after the other."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from mtsearch.balancing.schedules.base import Group, Stream, TaskSchedule
from mtsearch.config.errors import BadInput


class Sequential(TaskSchedule):
    """All batches of each task once, in the order of the tasks (the schedule of MTLN). The number
    of steps of a task is proportional to its number of images."""

    def epoch(self, streams: Mapping[Group, Stream], generator: torch.Generator) -> list[Group]:
        return [group for group in self.groups for _ in range(self._batches(streams[group], group))]

    def steps_per_epoch(self, streams: Mapping[Group, Stream]) -> int:
        return sum(self._batches(streams[group], group) for group in self.groups)

    def _batches(self, stream: Stream, group: Group) -> int:
        if not self.settings.drop_last:
            return stream.batches
        if stream.images < stream.batch_size:
            raise BadInput(
                f"`trial.task_schedule.drop_last` needs at least `trial.batch_size` ="
                f" {stream.batch_size} training images per task. Found {stream.images} for task"
                f" `{self.names[group[0]]}`. Lower `batch_size` or leave `drop_last` out."
            )
        return stream.images // stream.batch_size
