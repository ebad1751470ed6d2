"""The cosine penalty of COSMOS, beside a method that combines losses."""

from __future__ import annotations

import torch
from torch import Tensor

from mtsearch.balancing.base import Balancing, Step


class CosinePenalty(Balancing):
    """Adds ``- strength cos(p, l)`` to the objective of a method, with the preference p (K,) and
    the losses l (K,) of a step, so that the losses of a network are in the proportion of the
    preference (COSMOS: Ruchte & Grabocka 2021, arXiv 2103.12718, eq. 5).

    In a step without some of the tasks, the angle is that between their parts of p and l.

    Args:
        method: a method at level ``loss`` without a state.
        preference: (K,) on the simplex.
        strength: of the penalty, positive.
    """

    def __init__(self, method: Balancing, preference: Tensor, strength: float) -> None:
        super().__init__(method.settings, preference, method.coefficient)
        self._method, self._preference, self._strength = method, preference, strength
        self.subsets = method.subsets  # type: ignore[misc]

    def update(self, step: Step) -> None:
        chosen = list(range(len(step.tasks)))
        if step.present is not None:
            chosen = [place for place in chosen if step.present[place]]
        part = step.only(chosen) if chosen and len(chosen) < len(step.tasks) else step
        weights = self._preference[[step.tasks[place] for place in chosen]]
        if chosen and bool(weights.any()):
            cosine = torch.cosine_similarity(weights.to(part.losses), part.losses, dim=0)
            (-self._strength * cosine).backward(retain_graph=True)  # type: ignore[no-untyped-call]
        self._method.update(step)

    def backward(self, step: Step) -> None:
        self.update(step)
