"""The contract of all scalarisers, and how one is found from its settings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor

from mtsearch.config.base import Model
from mtsearch.config.errors import BadInput, nearest


class Scalariser(ABC):
    """Turns the losses of K tasks into one scalar whose gradient trains the network.

    The objectives' weights are ``k = (k0, (1 - k0) * preference)``: `k0` is the sparsity coefficient, and where it is 0 the preference
    stands alone. The sparsity objective (`penalty`) never has a gradient here, GrOWL's prox minimises it; a subclass says where its value
    counts.

    Args:
        settings: the settings model this scalariser was registered for.
        preference: (K,) weights of the tasks on the simplex.
        coefficient: k0, in [0, 1).
    """

    def __init__(self, settings: Any, preference: Tensor, coefficient: float) -> None:
        self.settings = settings
        self.coefficient = coefficient
        self.task_weights = (1 - coefficient) * preference.detach().double()

    @abstractmethod
    def __call__(self, losses: Tensor, penalty: float = 0.0) -> Tensor:
        """The scalar to call ``backward`` on.

        Args:
            losses: (K,) mean losses of this step, with their graphs.
            penalty: the value of the sparsity objective (GrOWL's penalty), without a gradient.
        """

    def due(self, epoch: int) -> bool:
        """Whether `end_of_epoch` updates anything after this epoch (from 1): the losses it wants are measured only then."""
        return False

    def end_of_epoch(self, epoch: int, losses: Tensor, penalty: float = 0.0) -> None:
        """Dual update, where the method has one: `epoch` counts finished epochs from 1, `losses` (K,) are measured in eval mode on fixed
        data."""
        del epoch, losses, penalty  # most methods have no dual variable

    def state_dict(self) -> dict[str, Any]:
        """Plain values (JSON-able) from which `load_state_dict` continues bit-identically."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave. Raises ValueError for a state of another method."""
        if set(state) != set(self.state_dict()):
            raise ValueError(f"State of `{type(self).__name__}` should hold {sorted(self.state_dict())}. Found {sorted(state)}.")

    def _weights(self, losses: Tensor) -> Tensor:
        """The tasks' weights with the losses' type and device."""
        self.task_weights = self.task_weights.to(losses.device)
        return self.task_weights.to(losses.dtype)


_SCALARISERS: dict[type[Model], type[Scalariser]] = {}
S = TypeVar("S", bound=type[Scalariser])


def scalariser(settings: type[Model]) -> Callable[[S], S]:
    """Register a scalariser for its settings model: ``@scalariser(schema.Linear)``."""

    def register(cls: S) -> S:
        _SCALARISERS[settings] = cls
        return cls

    return register


def build_scalariser(balancing: Model, weights: Tensor, coefficient: float = 0.0) -> Scalariser:
    """The scalariser that `balancing` (a settings model of kind ``balancing``) asks for.

    Args:
        balancing: e.g. ``schema.ChebyshevAL(mu=0.5)``.
        weights: (K,) the preference over the tasks, on the simplex.
        coefficient: the sparsity coefficient k0 in [0, 1); 0 leaves the sparsity objective out.

    Raises:
        BadInput: `balancing` has no scalariser, `weights` are not on the simplex, or `coefficient` is out of range.
    """
    if type(balancing) not in _SCALARISERS:
        known = [settings.__name__ for settings in _SCALARISERS]
        raise BadInput(f"`trial.balancing` has no scalariser for {type(balancing).__name__}. {nearest(type(balancing).__name__, known)}")
    if weights.ndim != 1 or bool((weights < 0).any()) or abs(weights.double().sum().item() - 1) > 1e-6:
        raise BadInput(f"`trial.preference` should hold one non-negative weight a task and sum to 1. Found {weights.tolist()}.")
    if not 0 <= coefficient < 1:
        raise BadInput(f"`trial.sparsity.coefficient` should be in [0, 1). Found {coefficient}.")
    return _SCALARISERS[type(balancing)](balancing, weights, coefficient)
