"""Which tasks' states a task tries, and what it remembers of them."""

from __future__ import annotations

import math

import torch

from mtsearch.config.population import MTOConfig
from mtsearch.population.seeding import generator_of


class Donors:
    """Draws G - 1 different donors for each task and keeps the scores of those it tried.

    ``softmax_score`` draws without replacement by P(j) = softmax of score[i][j] / temperature over
    the others: the Gumbel-top-(G-1) form. Its scores start at 0 and gain tanh(own loss - visitor's
    loss) whenever a donor is tried; the other rules keep none.
    """

    def __init__(self, settings: MTOConfig, seed: int, keys: list[int]) -> None:
        self._settings = settings
        self._seed = seed
        self._keys = keys
        self.scores = [[0.0] * len(keys) for _ in keys]

    def draw(self, task: int, number: int) -> list[int]:
        """The donors of a task in a round, one a visitor."""
        settings, count = self._settings, self._settings.group_size - 1
        others = [j for j in range(len(self._keys)) if j != task]
        if not count:
            return []
        if settings.donor_rule == "all":
            return others
        if settings.donor_rule == "round_robin":
            others = others[task:] + others[:task]  # those after the task first
            return [others[(number * count + m) % len(others)] for m in range(count)]
        # A key's noise is its own, so that tasks may be renamed.
        noise = generator_of(self._seed, "donor", self._keys[task], number)
        width = max(self._keys) + 1
        gumbel = -torch.log(
            -torch.log(
                torch.rand(width, generator=noise, dtype=torch.float64).clamp_(1e-300, 1 - 1e-16)
            )
        )
        keyed = [
            self.scores[task][j] / settings.temperature + gumbel[self._keys[j]].item()
            for j in others
        ]
        ranked = sorted(range(len(others)), key=lambda place: -keyed[place])
        return [others[place] for place in ranked[:count]]

    def learn(self, task: int, donors: list[int], own: float, visitors: list[float]) -> None:
        """Take note of the losses that tried donors led to, on the task's own hold-out."""
        if self._settings.donor_rule != "softmax_score":
            return
        for donor, loss in zip(donors, visitors, strict=True):
            gain = (
                math.tanh(own - loss)
                if math.isfinite(own - loss)
                else float(own > loss) - float(loss > own)
            )
            self.scores[task][donor] = self._settings.score_decay * self.scores[task][donor] + gain
