"""One set of weights and a low-rank change per task, which the network of a preference adds in the
proportion of the preference."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from mtsearch.config.pareto_sets import LowRankConfig
from mtsearch.models import MultiTaskModel
from mtsearch.training.network_set import NetworkSet, add_


class LowRank(NetworkSet):
    """Low-rank changes of one network (PaLoRA: Dimitriadis, Frossard & Fleuret 2025, eq. 5).

    ``W(p) = W + (scale / rank) sum_k p_k B_k A_k`` for every parameter with a matrix
    (out, in x kernel) of which both sides are larger than the rank; other parameters are the same
    for all preferences. ``B_k`` (out, rank) starts at 0 and ``A_k`` (rank, in x kernel) at random,
    so that all preferences start from the same network.

    Args:
        settings: of the set.
        build: returns a new network, initialised from the k-th seed.
        tasks: the number of tasks K.
    """

    def __init__(
        self, settings: LowRankConfig, build: Callable[[int], MultiTaskModel], tasks: int
    ) -> None:
        super().__init__()
        self.network = build(0)
        self._scale = settings.scale / settings.rank
        parameters = list(self.network.parameters())
        self._changed = [i for i, p in enumerate(parameters) if _fits(p, settings.rank)]
        base = nn.ParameterList(
            nn.Parameter(p.detach().clone(), p.requires_grad) for p in parameters
        )
        changes = nn.ModuleList(
            _factors([parameters[i] for i in self._changed], settings.rank) for _ in range(tasks)
        )
        self.trained = nn.ModuleDict({"base": base, "changes": changes})
        for i in self._changed:  # a frozen weight still needs the gradient of its changes
            parameters[i].requires_grad_()

    def named_trained(self) -> Iterator[tuple[str, nn.Parameter]]:
        names = [name for name, _ in self.network.named_parameters()]
        yield from zip(names, self._base(), strict=True)
        for factors in self._changes():
            for i, pair in zip(self._changed, factors, strict=True):
                yield from ((names[i], factor) for factor in pair)

    def _base(self) -> list[nn.Parameter]:
        return list(self.trained.get_submodule("base").parameters())

    def _changes(self) -> list[list[tuple[nn.Parameter, nn.Parameter]]]:
        """The factors (B, A) of each task and each changed parameter."""
        found = []
        for factors in self.trained.get_submodule("changes").children():
            flat = list(factors.parameters())
            found.append(list(zip(flat[::2], flat[1::2], strict=True)))
        return found

    def combined(self, preference: Sequence[float]) -> list[Tensor]:
        total = [parameter.detach().clone() for parameter in self._base()]
        for weight, factors in zip(preference, self._changes(), strict=True):
            for i, (b, a) in zip(self._changed, factors, strict=True):
                total[i] += self._scale * float(weight) * (b @ a).view(total[i].shape)
        return total

    def add_gradients_(self, preference: Sequence[float]) -> None:
        gradients = [parameter.grad for parameter in self.network.parameters()]
        for weight, factors in zip(preference, self._changes(), strict=True):
            for i, (b, a) in zip(self._changed, factors, strict=True):
                gradient = gradients[i]
                if gradient is not None:
                    change = self._scale * float(weight) * gradient.flatten(1)
                    add_(b, change @ a.T)
                    add_(a, b.T @ change)
        for parameter, gradient in zip(self._base(), gradients, strict=True):
            if gradient is not None:
                add_(parameter, gradient.clone())


def _fits(parameter: Tensor, rank: int) -> bool:
    return parameter.dim() > 1 and min(parameter.flatten(1).shape) > rank


def _factors(parameters: Sequence[Tensor], rank: int) -> nn.ParameterList:
    """B and A of each parameter; A has the variance of a linear layer's default weights."""
    found = []
    for parameter in parameters:
        rows, columns = parameter.flatten(1).shape
        bound = columns**-0.5
        a = torch.empty(rank, columns, dtype=parameter.dtype).uniform_(-bound, bound)
        found += [parameter.new_zeros(rows, rank), a.to(parameter.device)]
    return nn.ParameterList(map(nn.Parameter, found))
