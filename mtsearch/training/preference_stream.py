"""The preferences of the training steps of a Pareto set."""

from __future__ import annotations

from typing import Any, Literal

import torch

from mtsearch.config.dimensions import stick_breaking


class PreferenceStream:
    """Draws a preference per step, equally on all ranks.

    Args:
        draw: `uniform`: independent and uniform on the simplex. `even`: from an additive recurrence
            with a random start, of which every run of consecutive preferences covers the simplex
            evenly.
        tasks: the number of weights K.
        seed: of the trial.
    """

    def __init__(self, draw: Literal["uniform", "even"], tasks: int, seed: int) -> None:
        self._even, self._count = draw == "even", tasks - 1
        # other streams of the trial start from the seed itself
        self._generator = torch.Generator().manual_seed(seed ^ (1 << 40))
        self._position = self._random() if self._even else []
        ratio = _golden(self._count)
        self._steps = [ratio ** -(i + 1) for i in range(self._count)]

    def _random(self) -> list[float]:
        drawn = torch.rand(self._count, dtype=torch.float64, generator=self._generator)
        return [float(u) for u in drawn]

    def next(self) -> list[float]:
        """The next preference: K weights that sum to 1."""
        if not self._even:
            return stick_breaking(self._random())
        self._position = [
            (u + step) % 1.0 for u, step in zip(self._position, self._steps, strict=True)
        ]
        return stick_breaking(self._position)

    def state_dict(self) -> dict[str, Any]:
        """Return the position in the stream."""
        return {"generator": self._generator.get_state(), "position": self._position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a position."""
        self._generator.set_state(state["generator"])
        self._position = list(state["position"])


def _golden(dimensions: int) -> float:
    """The positive root of ``x^(d + 1) = x + 1``, of which the powers are the steps of an additive
    recurrence of low discrepancy in d dimensions."""
    x = 2.0
    for _ in range(64):
        x = (1 + x) ** (1 / (dimensions + 1))
    return x
