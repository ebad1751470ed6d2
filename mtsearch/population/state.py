"""The state of a member, on which its next step depends besides the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class MemberState:
    """The state of a network and its optimiser. It is immutable: its tensors must not be modified,
    so that members can share them.

    Attributes:
        model: parameters and buffers, in the order of the network's state dict.
        moments: the optimiser's tensors by the name of the parameter; empty before the first step.
        optimizer: the settings of the optimiser as plain values, including the learning rate.
    """

    model: dict[str, Tensor]
    moments: dict[str, dict[str, Tensor]]
    optimizer: dict[str, Any]

    def tree(self) -> dict[str, Any]:
        """Return the state as a tree of tensors and plain values."""
        return {"model": self.model, "moments": self.moments, "optimizer": self.optimizer}

    @classmethod
    def of(cls, tree: dict[str, Any]) -> MemberState:
        """Return the state from a result of `tree`."""
        return cls(tree["model"], tree["moments"], tree["optimizer"])

    @property
    def bytes(self) -> int:
        """The size of its tensors."""
        return size_of(self.model) + sum(size_of(moments) for moments in self.moments.values())


def size_of(tensors: dict[str, Tensor]) -> int:
    """Return the size of the tensors in bytes."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def average(states: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of the weights of equal networks, including running statistics. Integer
    tensors are those of the first network."""
    mean = {}
    for name, first in states[0].items():
        if first.is_floating_point():
            mean[name] = (torch.stack([state[name].double() for state in states]).mean(0)).to(
                first.dtype
            )
        else:
            mean[name] = first.clone()
    return mean
