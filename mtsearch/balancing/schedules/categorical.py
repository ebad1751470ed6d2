"""Randomly sampled tasks."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from mtsearch.balancing.schedules.base import Group, Stream, TaskSchedule


class SampledTasks(TaskSchedule):
    """A task is sampled for every block of `every` steps, with probabilities that a subclass
    defines."""

    def probabilities(self, streams: Mapping[Group, Stream]) -> list[float]:
        """Return the probabilities (K,) of the tasks, on the simplex."""
        raise AssertionError(f"{type(self).__name__} should define `probabilities`")

    def epoch(self, streams: Mapping[Group, Stream], generator: torch.Generator) -> list[Group]:
        weights = torch.tensor(self.probabilities(streams), dtype=torch.float64)
        steps, every = self.steps_per_epoch(streams), self.settings.every
        drawn = torch.multinomial(
            weights, -(-steps // every), replacement=True, generator=generator
        )
        plan: list[Group] = [(task,) for task in drawn.tolist() for _ in range(every)]
        return plan[:steps]

    def steps_per_epoch(self, streams: Mapping[Group, Stream]) -> int:
        return self.settings.steps or sum(stream.batches for stream in streams.values())


class Categorical(SampledTasks):
    """Task k is sampled with its probability in the settings."""

    def probabilities(self, streams: Mapping[Group, Stream]) -> list[float]:
        given = self.settings.probabilities
        return (
            [1 / len(self.names)] * len(self.names)
            if given is None
            else self._each(given, "probabilities")
        )
