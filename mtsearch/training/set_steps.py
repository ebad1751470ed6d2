"""Training steps of a Pareto set: each at the network of a new preference."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from mtsearch.balancing import Balancing
from mtsearch.balancing.schedules import Group
from mtsearch.training.loaders import Batch
from mtsearch.training.network_set import NetworkSet
from mtsearch.training.preference_stream import PreferenceStream
from mtsearch.training.steps import Stepper


@dataclass(frozen=True)
class TrainedSet:
    """A Pareto set with what its training needs.

    Attributes:
        weights: the set.
        stream: draws the preferences.
        balance: preference (K,) -> the balancing method with it.
    """

    weights: NetworkSet
    stream: PreferenceStream
    balance: Callable[[Sequence[float]], Balancing]


class SetStepper(Stepper):
    """Trains a Pareto set step by step. A step draws a preference, sets the network to it, and
    balances the losses with it. Its gradient is that of the trained parameters of the set.

    Args:
        pareto_set: the set; its network is the model.
        **others: see `Stepper`.
    """

    def __init__(self, pareto_set: TrainedSet, **others: Any) -> None:
        super().__init__(model=pareto_set.weights.network, **others)
        self._set, self._stream = pareto_set.weights, pareto_set.stream
        self._balance = pareto_set.balance
        self._parameters = list(self._set.network.parameters())
        self._preference: Sequence[float] = ()

    def step(self, parts: Sequence[tuple[Group, Batch]], penalty: float) -> tuple[Tensor, Tensor]:
        self._preference = self._stream.next()
        self._set.set_(self._preference)
        self._balancing = self._balance(self._preference)
        return super().step(parts, penalty)

    def _apply(self) -> None:
        self._set.backward_(self._preference)
        super()._apply()

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "preferences": self._stream.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self._stream.load_state_dict(state["preferences"])
