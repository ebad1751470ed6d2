"""One set of weights per task; the network of a preference is their convex combination."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mtsearch.models import MultiTaskModel


class WeightsLine(nn.Module):
    """K networks whose convex combinations are the networks of all preferences (Pareto Manifold
    Learning: Dimitriadis, Frossard & Fleuret 2023, eq. 4).

    ``theta(p) = sum_k p_k theta_k`` for all parameters; the buffers are shared. Only the vertices
    ``theta_k`` are trained. A training step sets the weights of `network` to ``theta(p)``, computes
    their gradient g as for any network, and adds ``p_k g`` to the gradient of ``theta_k``.

    Args:
        build: returns a new network, initialised from the k-th seed.
        tasks: the number of tasks K.

    Attributes:
        network: computes outputs and gradients; its weights are those of the last preference.
    """

    def __init__(self, build: Callable[[int], MultiTaskModel], tasks: int) -> None:
        super().__init__()
        self.network = build(0)
        others = [build(k) for k in range(1, tasks)]
        self.vertices = nn.ModuleList(
            nn.ParameterList(
                nn.Parameter(p.detach().clone(), p.requires_grad) for p in model.parameters()
            )
            for model in (self.network, *others)
        )

    def named_trained(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The trained parameters with the names that they have in the network."""
        names = [name for name, _ in self.network.named_parameters()]
        for vertex in self._vertices():
            yield from zip(names, vertex, strict=True)

    def _vertices(self) -> list[list[Any]]:
        return [list(vertex.parameters()) for vertex in self.vertices]

    @torch.no_grad()
    def set_(self, preference: Sequence[float]) -> None:
        """Set the weights of `network` to those of a preference (K,)."""
        torch._foreach_copy_(list(self.network.parameters()), self._combined(preference))

    def _combined(self, preference: Sequence[float]) -> list[Tensor]:
        first, *rest = self._vertices()
        total = list(torch._foreach_mul(first, float(preference[0])))
        for weight, vertex in zip(preference[1:], rest, strict=True):
            torch._foreach_add_(total, vertex, alpha=float(weight))
        return total

    @torch.no_grad()
    def backward_(self, preference: Sequence[float]) -> None:
        """Move the gradients of `network` at a preference (K,) to the trained parameters. They are
        added to what is there, and `network` has none afterwards."""
        parameters = list(self.network.parameters())
        used = [i for i, p in enumerate(parameters) if p.grad is not None]
        for weight, vertex in zip(preference, self._vertices(), strict=True):
            for i in used:
                gradient, before = torch.mul(parameters[i].grad, float(weight)), vertex[i].grad  # type: ignore[arg-type]
                vertex[i].grad = gradient if before is None else before.add_(gradient)
        for parameter in parameters:
            parameter.grad = None

    @torch.no_grad()
    def state_at(self, preference: Sequence[float]) -> dict[str, Tensor]:
        """The state dict of the plain network of a preference (K,), with the shared buffers."""
        own = [id(parameter) for parameter in self.network.parameters()]
        weights = dict(zip(own, self._combined(preference), strict=True))
        # a parameter that two modules share has two names
        named = self.network.named_parameters(remove_duplicate=False)
        return self.network.state_dict() | {name: weights[id(p)] for name, p in named}
