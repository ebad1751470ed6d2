"""Sampling of tasks by their number of training images."""

from __future__ import annotations

from collections.abc import Mapping

from mtsearch.balancing.schedules.base import Group, Stream
from mtsearch.balancing.schedules.categorical import SampledTasks


class Proportional(SampledTasks):
    """``p_k`` is proportional to ``n_k ** alpha`` with ``n_k`` the number of training images of
    task k: alpha = 0 gives equal probabilities, alpha = 1 probabilities proportional to size."""

    def probabilities(self, streams: Mapping[Group, Stream]) -> list[float]:
        sizes = [streams[(k,)].images ** self.settings.alpha for k in range(len(self.names))]
        return [size / sum(sizes) for size in sizes]
