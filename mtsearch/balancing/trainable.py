"""Scalarisers whose parameters the trial's optimiser trains with the network."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mtsearch.balancing.base import Step
from mtsearch.balancing.compat import scalarization
from mtsearch.balancing.scalariser import Scalariser


class TrainableScalariser(Scalariser):
    """A scalariser of TorchJD with one parameter per task, initially 0; `method` is the name of its
    class."""

    method: ClassVar[str]

    def __init__(self, settings: Any, preference: Tensor, coefficient: float) -> None:
        super().__init__(settings, preference, coefficient)
        self._method = scalarization(self.method, len(preference)).to(preference)

    def __call__(self, losses: Tensor, penalty: float = 0.0) -> Tensor:
        return self._method(losses)  # type: ignore[no-any-return]

    def backward_present(self, step: Step, tasks: list[int]) -> None:
        """Run `backward` of the scalariser over these tasks, with their entries of the
        parameter."""
        names = [name for name, _ in self._method.named_parameters()]
        part = scalarization(self.method, len(tasks))
        own = {name: p[tasks] for name, p in zip(names, self.parameters(), strict=True)}
        functional_call(part, own, (step.losses,)).backward()

    def parameters(self) -> list[nn.Parameter]:
        return list(self._method.parameters())

    def state_dict(self) -> dict[str, Any]:
        return {"parameter": self.parameters()[0].detach().clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        (parameter,) = self.parameters()
        if state["parameter"].shape != parameter.shape:
            raise ValueError(
                f"State of `{type(self).__name__}` should be of {len(parameter)} tasks. Found"
                f" {len(state['parameter'])}."
            )
        with torch.no_grad():
            parameter.copy_(state["parameter"])
