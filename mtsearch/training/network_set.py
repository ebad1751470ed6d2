"""The networks of all preferences, computed from parameters that are trained together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from mtsearch.models import MultiTaskModel


class NetworkSet(nn.Module, ABC):
    """A function from preferences to the weights of one network; the buffers are shared.

    A training step sets the weights of `network` to those of a preference, computes their gradient
    as for any network, and moves it to the parameters in `trained`.

    Attributes:
        network: computes outputs and gradients; its weights are those of the last preference.
        trained: contains the parameters that are trained.
    """

    network: MultiTaskModel
    trained: nn.Module

    @abstractmethod
    def named_trained(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The trained parameters with the names of the network's parameters that they form."""

    @abstractmethod
    def combined(self, preference: Sequence[float]) -> list[Tensor]:
        """The weights of a preference (K,), in the order of the network's parameters."""

    @abstractmethod
    def add_gradients_(self, preference: Sequence[float]) -> None:
        """Add the gradients of the trained parameters, given those of `network` at a preference
        (K,)."""

    @torch.no_grad()
    def set_(self, preference: Sequence[float]) -> None:
        """Set the weights of `network` to those of a preference (K,)."""
        torch._foreach_copy_(list(self.network.parameters()), self.combined(preference))

    @torch.no_grad()
    def backward_(self, preference: Sequence[float]) -> None:
        """Move the gradients of `network` at a preference (K,) to the trained parameters; `network`
        has none afterwards."""
        self.add_gradients_(preference)
        for parameter in self.network.parameters():
            parameter.grad = None

    @torch.no_grad()
    def state_at(self, preference: Sequence[float]) -> dict[str, Tensor]:
        """The state dict of the plain network of a preference (K,), with the shared buffers."""
        own = [id(parameter) for parameter in self.network.parameters()]
        weights = dict(zip(own, self.combined(preference), strict=True))
        # a parameter that two modules share has two names
        named = self.network.named_parameters(remove_duplicate=False)
        return self.network.state_dict() | {name: weights[id(p)] for name, p in named}


def add_(parameter: nn.Parameter, gradient: Tensor) -> None:
    """Add to the gradient of a trained parameter, unless it is frozen."""
    if parameter.requires_grad:
        before = parameter.grad
        parameter.grad = gradient if before is None else before.add_(gradient)
