"""Draws that follow the sizes of the tasks' sets."""

from __future__ import annotations

from collections.abc import Mapping

from mtsearch.balancing.schedules.base import Group, Stream
from mtsearch.balancing.schedules.categorical import Drawn


class Proportional(Drawn):
    """``p_k`` proportional to ``n_k ** alpha`` with n_k the task's training images: alpha 0 is
    equal, 1 is by size."""

    def probabilities(self, streams: Mapping[Group, Stream]) -> list[float]:
        sizes = [streams[(k,)].images ** self.settings.alpha for k in range(len(self.names))]
        return [size / sum(sizes) for size in sizes]
