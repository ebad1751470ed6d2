"""Priority-constrained descent."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from mtsearch.balancing.base import Balancing, Step
from mtsearch.balancing.compat import restore, state_of
from mtsearch.balancing.weighting import TorchJD
from mtsearch.config import schema
from mtsearch.config.errors import BadInput


class PCD(TorchJD):
    """The vector nearest to the primary task's gradient whose inner product with every other
    gradient is at least `tau` (Varam et al. 2026).

    The gradients are divided by the running mean of their lengths first. If no vector satisfies all
    constraints, the update is the primary gradient. The state is the running mean of the squared
    lengths of the gradients, in an order in which the primary task is the first.
    """

    method = "PCDWeighting"
    scale_free = False  # the running mean depends on the scale of the gradients
    task_state: ClassVar[dict[str, int]] = {**TorchJD.task_state, "squares": 1}

    def __init__(self, settings: schema.PCDConfig, preference: Tensor, coefficient: float) -> None:
        super().__init__(settings, preference, coefficient)
        k = len(self.preference)
        if settings.primary >= k:
            raise BadInput(
                f"`trial.balancing.primary` should be the index of a task, 0 to {k - 1}. Found"
                f" {settings.primary}."
            )
        self._order = torch.tensor(
            [settings.primary, *(i for i in range(k) if i != settings.primary)]
        )

    def options(self) -> dict[str, Any]:
        return {"tau": self.settings.tau, "beta": self.settings.rate, "eps": 0.0}

    def weigh(self, gramian: Tensor, losses: Tensor) -> Tensor:
        self._start_late_tasks(gramian.diagonal()[self._order])
        weights = torch.empty_like(gramian[0])
        weights[self._order] = super().weigh(gramian[self._order][:, self._order], losses)
        return weights

    def _start_late_tasks(self, squares: Tensor) -> None:
        """Initialise tasks that had no gradient in all earlier steps with the length of their first
        gradient; a mean that includes the earlier steps would be too small."""
        state = state_of(self._method)
        if state["squares"] is None or bool((state["squares"] > 0).all()):
            return
        first = squares * (1 - self.settings.rate ** int(state["steps"]))
        state["squares"] = torch.where(state["squares"] > 0, state["squares"], first)
        restore(self._method, state)

    def backward_present(self, step: Step, tasks: list[int]) -> None:
        """Run `backward` on the present tasks. If the primary task is absent, the update is the
        mean of the present gradients, and the state does not change."""
        if self.settings.primary in tasks or len(tasks) == 1:
            super().backward_present(step, tasks)
            return
        first = self.settings.model_copy(update={"primary": 0})
        mean = type(self)(first, self.preference.new_ones(len(tasks)), 0.0)
        mean._plain = True
        mean.backward(step)

    def part_settings(self, tasks: list[int]) -> schema.PCDConfig:
        chosen = [int(self._order[place]) for place in tasks]  # `part` gives places
        primary = sum(task < self.settings.primary for task in chosen)
        return self.settings.model_copy(update={"primary": primary})  # type: ignore[no-any-return]

    def part(self, preference: Tensor, tasks: list[int]) -> Balancing:
        return super().part(preference, self._places(tasks))

    def absorb(self, part: Balancing, tasks: list[int]) -> None:
        """Merge the state. The bias-corrected mean of absent tasks stays constant, so that their
        running sum grows with its normalisation."""
        before, rate = self.state_dict(), self.settings.rate
        places = self._places(tasks)
        super().absorb(part, places)
        state = self.state_dict()
        if before["squares"] is not None:
            absent = [place for place in range(len(self.preference)) if place not in places]
            state["squares"][absent] *= (1 - rate ** state["steps"]) / (1 - rate ** before["steps"])
            self.load_state_dict(state)

    def _places(self, tasks: list[int]) -> list[int]:
        """Return the positions of the tasks in the state, where the primary task is the first."""
        return [place for place, task in enumerate(self._order.tolist()) if task in tasks]

    def state_dict(self) -> dict[str, Any]:
        state = state_of(self._method)
        steps = state["steps"]
        return {
            **super().state_dict(),
            "squares": state["squares"],
            "steps": 0 if steps is None else int(steps),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        squares = self.restored(state["squares"])
        restore(self._method, {"squares": squares, "steps": torch.tensor(state["steps"])})
