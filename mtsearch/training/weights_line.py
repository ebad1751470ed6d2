"""One set of weights per task; the network of a preference is their convex combination."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mtsearch.config.pareto_sets import WeightsLineConfig
from mtsearch.models import MultiTaskModel
from mtsearch.training.network_set import NetworkSet, add_


class WeightsLine(NetworkSet):
    """K networks whose convex combinations are the networks of all preferences (Pareto Manifold
    Learning: Dimitriadis, Frossard & Fleuret 2023, eq. 4).

    ``theta(p) = sum_k p_k theta_k`` for all parameters. With the gradient g of the network at p,
    the gradient of ``theta_k`` is ``p_k g``.

    Args:
        settings: of the set.
        build: returns a new network, initialised from the k-th seed.
        tasks: the number of tasks K.
    """

    def __init__(
        self, settings: WeightsLineConfig, build: Callable[[int], MultiTaskModel], tasks: int
    ) -> None:
        super().__init__()
        self.network = build(0)
        others = [build(k) for k in range(1, tasks)]
        self.trained = nn.ModuleList(
            nn.ParameterList(
                nn.Parameter(p.detach().clone(), p.requires_grad) for p in model.parameters()
            )
            for model in (self.network, *others)
        )

    def named_trained(self) -> Iterator[tuple[str, nn.Parameter]]:
        names = [name for name, _ in self.network.named_parameters()]
        for vertex in self.vertices():
            yield from zip(names, vertex, strict=True)

    def vertices(self) -> list[list[Any]]:
        """The parameters ``theta_k`` of each task, in the order of the network's parameters."""
        return [list(vertex.parameters()) for vertex in self.trained.children()]

    def combined(self, preference: Sequence[float]) -> list[Tensor]:
        first, *rest = self.vertices()
        total = list(torch._foreach_mul(first, float(preference[0])))
        for weight, vertex in zip(preference[1:], rest, strict=True):
            torch._foreach_add_(total, vertex, alpha=float(weight))
        return total

    def add_gradients_(self, preference: Sequence[float]) -> None:
        gradients = [parameter.grad for parameter in self.network.parameters()]
        for weight, vertex in zip(preference, self.vertices(), strict=True):
            for parameter, gradient in zip(vertex, gradients, strict=True):
                if gradient is not None:
                    add_(parameter, gradient * float(weight))
