"""The state of a member: everything that its next step depends on besides the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class MemberState:
    """A network with its optimiser. States are values: nobody writes into their tensors, so they
    may be handed around.

    Attributes:
        model: parameters and buffers, in the order of the network's state dict.
        moments: what the optimiser keeps of each parameter, by the parameter's name; nothing before
            its first step.
        optimizer: settings of the optimiser as plain values, the learning rate among them.
    """

    model: dict[str, Tensor]
    moments: dict[str, dict[str, Tensor]]
    optimizer: dict[str, Any]

    def tree(self) -> dict[str, Any]:
        """The state as a tree of tensors and plain values."""
        return {"model": self.model, "moments": self.moments, "optimizer": self.optimizer}

    @classmethod
    def of(cls, tree: dict[str, Any]) -> MemberState:
        """The state that `tree` was made of."""
        return cls(tree["model"], tree["moments"], tree["optimizer"])

    @property
    def bytes(self) -> int:
        """The size of its tensors."""
        return size_of(self.model) + sum(size_of(moments) for moments in self.moments.values())


def size_of(tensors: dict[str, Tensor]) -> int:
    """Bytes of the tensors."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def average(states: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The uniform mean of networks of one shape, running statistics included; whole numbers are the
    first one's."""
    mean = {}
    for name, first in states[0].items():
        if first.is_floating_point():
            mean[name] = (torch.stack([state[name].double() for state in states]).mean(0)).to(
                first.dtype
            )
        else:
            mean[name] = first.clone()
    return mean
