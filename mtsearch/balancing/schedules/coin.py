"""Independent Bernoulli trials for each task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from mtsearch.balancing.schedules.base import Group, Stream, TaskSchedule
from mtsearch.config import schema


class Coin(TaskSchedule):
    """In each round every task k gets a step with probability ``p_k``, independently. A round may
    have no step, or one of every task.

    With ``p = 1/2`` and two tasks a quarter of the rounds is empty, and all tasks get equally many
    steps on average, whatever their number of images. (This is the schedule of the alternating
    training on CIFAR-10 and FashionRGB.)
    """

    def __init__(self, settings: schema.CoinConfig, names: Sequence[str]) -> None:
        super().__init__(settings, names)
        given = settings.probabilities
        values = (
            self._each(given, "probabilities")
            if isinstance(given, dict)
            else [given] * len(self.names)
        )
        self._p = torch.tensor(values, dtype=torch.float64)

    def epoch(self, streams: Mapping[Group, Stream], generator: torch.Generator) -> list[Group]:
        rounds, count = self._rounds(streams), len(self.names)
        drawn = torch.rand(rounds, count, generator=generator, dtype=torch.float64) < self._p
        while self.settings.at_least_one and bool((empty := ~drawn.any(1)).any()):
            drawn[empty] = (
                torch.rand(int(empty.sum()), count, generator=generator, dtype=torch.float64)
                < self._p
            )
        if self.settings.order == "fixed":
            return [(task,) for task in drawn.nonzero()[:, 1].tolist()]
        order = torch.rand(rounds, count, generator=generator).argsort(1)
        return [
            (task,)
            for task, taken in zip(
                order.flatten().tolist(), drawn.gather(1, order).flatten().tolist(), strict=True
            )
            if taken
        ]

    def steps_per_epoch(self, streams: Mapping[Group, Stream]) -> int:
        mean = float(self._p.sum())
        if self.settings.at_least_one:
            mean /= 1 - float((1 - self._p).prod())
        return max(1, round(self._rounds(streams) * mean))

    def _rounds(self, streams: Mapping[Group, Stream]) -> int:
        return self.settings.rounds or max(stream.batches for stream in streams.values())
