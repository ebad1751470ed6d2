"""Scalarisers: balancing methods that combine the losses into one scalar."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from mtsearch.balancing.base import Balancing, Step


class Scalariser(Balancing):
    """Combines the losses of K tasks into one scalar whose gradient trains the network.

    The weights of the objectives are ``k = (k0, (1 - k0) * preference)`` with the sparsity
    coefficient `k0`; if it is 0, they are the preference. The sparsity objective (`penalty`) has no
    gradient here, because GrOWL's prox minimises it; each subclass documents where its value is
    used.
    """

    @abstractmethod
    def __call__(self, losses: Tensor, penalty: float = 0.0) -> Tensor:
        """Return the scalar on which ``backward`` is called.

        Args:
            losses: (K,) mean losses of this step, with their graphs.
            penalty: the value of the sparsity objective (GrOWL's penalty), without a gradient.
        """

    def backward(self, step: Step) -> None:
        self.check(step)
        self(step.losses, step.penalty).backward()

    def _weights(self, losses: Tensor) -> Tensor:
        """Return the weights of the tasks with the dtype and device of the losses."""
        self.task_weights = self.task_weights.to(losses.device)
        return self.task_weights.to(losses.dtype)
