"""Nash-MTL."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from mtsearch.balancing.base import Balancing
from mtsearch.balancing.fair import fair_weights
from mtsearch.balancing.weighting import Weighting
from mtsearch.config import schema


class NashMTL(Weighting):
    """``G w = 1 / w``, the Nash bargaining solution (Navon et al. 2022, algorithm 1), by a damped
    Newton iteration (see `fair_weights`).

    The state is the last solution, which is used for `every` steps, and the number of steps since.
    """

    scale_free = False  # `max_norm` bounds the update itself

    task_state: ClassVar[dict[str, int]] = {**Weighting.task_state, "last": 1}

    def __init__(
        self, settings: schema.NashMTLConfig, preference: Tensor, coefficient: float
    ) -> None:
        super().__init__(settings, preference, coefficient)
        self._last: Tensor | None = None
        self._age = 0

    def weigh(self, gramian: Tensor, losses: Tensor) -> Tensor:
        if self._last is None or self._age >= self.settings.every:
            self._last, self._age = fair_weights(gramian), 0
        self._age += 1
        squared, longest = float(self._last @ gramian @ self._last), self.settings.max_norm
        return self._last * longest / squared**0.5 if 0 < longest**2 < squared else self._last

    def part(self, preference: Tensor, tasks: list[int]) -> Balancing:
        """Return the method over these tasks without a last solution, because the solution depends
        on the set of tasks."""
        part = super().part(preference, tasks)
        assert isinstance(part, NashMTL)
        part._last = None
        return part

    def absorb(self, part: Balancing, tasks: list[int]) -> None:
        last, age = self._last, self._age
        super().absorb(part, tasks)
        self._last, self._age = last, age

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "last": self._last, "age": self._age}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "steps" in state:
            state = self._converted(state)
        super().load_state_dict(state)
        self._last, self._age = self.restored(state["last"]), state["age"]

    def _converted(self, state: dict[str, Any]) -> dict[str, Any]:
        """The state that checkpoints of before version 5 hold: the last solution of another solver,
        its length, and the number of steps, of which each `every`-th solved."""
        steps, every = state["steps"], self.settings.every
        rest = {key: value for key, value in state.items() if key not in ("length", "steps")}
        last = torch.tensor(state["last"], dtype=torch.float64) if steps else None
        return {**rest, "last": last, "age": (steps - 1) % every + 1 if steps else 0}
