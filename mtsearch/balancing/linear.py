"""The weighted sum."""

from __future__ import annotations

import torch
from torch import Tensor

from mtsearch.balancing.base import Step
from mtsearch.balancing.scalariser import Scalariser


class Linear(Scalariser):
    """``sum_i k_i f_i``, plus the constant ``k0 f_0`` if there is a sparsity objective. It reaches
    only the convex parts of a Pareto front.

    In a step on k of the K tasks it is ``(K / k) sum_i k_i f_i`` over those k tasks, which is their
    mean loss if all preferences are equal, for every task schedule.
    """

    subsets = True

    def __call__(self, losses: Tensor, penalty: float = 0.0) -> Tensor:
        return (self._weights(losses) * losses).sum() + self.coefficient * penalty

    def update(self, step: Step) -> None:
        """Run `backward` on the present tasks. The weights are constants, so that the weights of
        the present tasks do not depend on which others are absent."""
        if step.present is None or all(step.present):
            self.backward(step)
            return
        places = [place for place, present in enumerate(step.present) if present]
        if places:
            weights = self._weights(step.losses)
            scale = len(weights) / len(step.tasks)
            chosen = torch.stack([weights[step.tasks[place]] for place in places])
            (scale * (chosen * step.only(places).losses).sum()).backward()

    def backward(self, step: Step) -> None:
        weights = self._weights(step.losses)
        if len(step.tasks) == len(weights):
            super().backward(step)
        else:
            scale = len(weights) / len(step.tasks)
            # single entries: on a GPU the host would wait for a list of indices to be copied
            chosen = torch.stack([weights[task] for task in step.tasks])
            (scale * (chosen * step.losses).sum()).backward()
