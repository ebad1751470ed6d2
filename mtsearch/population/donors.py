"""Selection of the donors, the tasks whose states a task tries."""

from __future__ import annotations

import math

import torch

from mtsearch.config.population import MTOConfig
from mtsearch.population.seeding import generator_of


class Donors:
    """Selects G - 1 distinct donors for each task and keeps their scores.

    ``softmax_score`` samples donors of task i without replacement with P(j) = softmax of
    score[i][j] / temperature over the other tasks j (Gumbel-top-k sampling). Scores start at 0, and
    each trial of a donor adds tanh(own loss - visitor's loss). The other rules have no scores.
    """

    def __init__(self, settings: MTOConfig, seed: int, keys: list[int]) -> None:
        self._settings = settings
        self._seed = seed
        self._keys = keys
        self.scores = [[0.0] * len(keys) for _ in keys]

    def draw(self, task: int, number: int) -> list[int]:
        """Return the donors of a task in a round, one per visitor."""
        settings, count = self._settings, self._settings.group_size - 1
        others = [j for j in range(len(self._keys)) if j != task]
        if not count:
            return []
        if settings.donor_rule == "all":
            return others
        if settings.donor_rule == "round_robin":
            others = others[task:] + others[:task]  # starting with the next task
            return [others[(number * count + m) % len(others)] for m in range(count)]
        # the noise of a donor depends on its key only, so that the order of tasks does not matter
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

    def update_scores(
        self, task: int, donors: list[int], own: float, visitors: list[float]
    ) -> None:
        """Update the scores of the donors of a task by the losses on the task's hold-out.

        Args:
            task: the task.
            donors: the donors that it tried.
            own: the loss of the task's own member.
            visitors: the losses of its visitors, by donor.
        """
        if self._settings.donor_rule != "softmax_score":
            return
        for donor, loss in zip(donors, visitors, strict=True):
            gain = (
                math.tanh(own - loss)
                if math.isfinite(own - loss)
                else float(own > loss) - float(loss > own)
            )
            self.scores[task][donor] = self._settings.score_decay * self.scores[task][donor] + gain
