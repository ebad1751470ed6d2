"""Scalarisers: balancing methods that turn the losses into one scalar."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from mtsearch.balancing.base import Balancing, Step


class Scalariser(Balancing):
    """Turns the losses of K tasks into one scalar whose gradient trains the network.

    The objectives' weights are ``k = (k0, (1 - k0) * preference)``: `k0` is the sparsity
    coefficient, and where it is 0 the preference stands alone. The sparsity objective (`penalty`)
    never has a gradient here, GrOWL's prox minimises it; a subclass says where its value counts.
    """

    @abstractmethod
    def __call__(self, losses: Tensor, penalty: float = 0.0) -> Tensor:
        """The scalar to call ``backward`` on.

        Args:
            losses: (K,) mean losses of this step, with their graphs.
            penalty: the value of the sparsity objective (GrOWL's penalty), without a gradient.
        """

    def backward(self, step: Step) -> None:
        self.check(step)
        self(step.losses, step.penalty).backward()

    def _weights(self, losses: Tensor) -> Tensor:
        """The tasks' weights with the losses' type and device."""
        self.task_weights = self.task_weights.to(losses.device)
        return self.task_weights.to(losses.dtype)
