"""One task after the other."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from mtsearch.balancing.schedules.base import Group, Stream, TaskSchedule
from mtsearch.config.errors import BadInput


class Sequential(TaskSchedule):
    """All batches of each task once, in the order of the tasks (the schedule of MTLN): a task
    weighs as much as it has images."""

    def epoch(self, streams: Mapping[Group, Stream], generator: torch.Generator) -> list[Group]:
        return [group for group in self.groups for _ in range(self._batches(streams[group], group))]

    def steps_per_epoch(self, streams: Mapping[Group, Stream]) -> int:
        return sum(self._batches(streams[group], group) for group in self.groups)

    def _batches(self, stream: Stream, group: Group) -> int:
        if not self.settings.drop_last:
            return stream.batches
        if stream.images < stream.batch_size:
            raise BadInput(
                f"`trial.task_schedule.drop_last` would leave task `{self.names[group[0]]}` no"
                f" batch: it has {stream.images} training images, `trial.batch_size` is"
                f" {stream.batch_size}. Lower one or leave the other out."
            )
        return stream.images // stream.batch_size
