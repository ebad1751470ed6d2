"""Smaller layers that compute what larger ones did."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from mtsearch.deploy.modules import Layer, input_axis
from mtsearch.deploy.rows import group_rows

M = TypeVar("M", bound=nn.Module)
_INDEX = 2  # an index entry takes the bytes of two weights


class Reader(nn.Module):
    """A layer that selects the inputs it reads and sums those with equal weights.

    It has the attributes of the layer it replaces, for code that reads them.

    Attributes:
        select: (m,) positions on the input axis; None for all.
        group: (m,) the layer's input to which each selected one is added; None for the same order.
    """

    select: Tensor | None
    group: Tensor | None

    def __init__(
        self, layer: Layer, select: Tensor | None, group: Tensor | None, arriving: int
    ) -> None:
        super().__init__()
        self.layer = layer
        self.axis = input_axis(layer)
        self.inputs = layer.weight.shape[1]
        self.arriving = arriving
        self.register_buffer("select", select)
        self.register_buffer("group", group)

    @property
    def weight(self) -> Tensor:
        """The weight (out, arriving, ...) of the layer that this one replaces."""
        weight = self.layer.weight
        if self.group is not None:
            weight = weight.index_select(1, self.group)
        if self.select is None:
            return weight
        full = weight.new_zeros(weight.shape[0], self.arriving, *weight.shape[2:])
        return full.index_copy(1, self.select, weight)

    def __getattr__(self, name: str) -> Any:
        if name in ("in_features", "in_channels"):
            return self.arriving
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "layer" or name.startswith("__"):
                raise
            return getattr(self.layer, name)

    def forward(self, x: Tensor) -> Tensor:
        if self.select is not None:
            x = x.index_select(self.axis, self.select)
        if self.group is not None:
            shape = list(x.shape)
            shape[self.axis] = self.inputs
            x = x.new_zeros(shape).index_add(self.axis, self.group, x)
        return self.layer(x)  # type: ignore[no-any-return]


def smaller(layer: Layer, present: Tensor, live: Tensor, outputs: Tensor) -> nn.Module:
    """The smallest of three equal forms of a layer: as it is, reading live inputs only, or summing
    equally weighed inputs first.

    Args:
        layer: an ungrouped convolution or a linear layer.
        present: (n,) bool: the inputs that still exist; the others arrive no more.
        live: (n,) bool: the inputs that `outputs` depend on; a part of `present`.
        outputs: (out,) bool: the outputs to compute.
    """
    weight = layer.weight.detach()[outputs]
    select = live[present].nonzero().flatten()
    arriving, reading = int(present.sum()), len(select)
    groups = group_rows(weight[:, live])
    entries = weight[:, 0].numel()
    selection = 0 if reading == arriving else _INDEX * reading
    forms = {
        "plain": arriving * entries,
        "select": reading * entries + selection,
        "merge": len(groups.first) * entries + selection + _INDEX * reading,
    }
    form = min(forms, key=lambda name: forms[name])
    if form == "plain" or (form == "select" and not selection):
        return _cut(layer, weight[:, present], outputs)
    if form == "select":
        return Reader(_cut(layer, weight[:, live], outputs), select, None, arriving)
    return Reader(
        _cut(layer, weight[:, live][:, groups.first], outputs),
        select if selection else None,
        groups.group,
        arriving,
    )


def _cut(layer: Layer, weight: Tensor, outputs: Tensor) -> Layer:
    """The same kind of layer with this weight and the kept entries of the bias."""
    small = _shallow(layer)
    out, inputs = weight.shape[:2]
    if isinstance(small, nn.Linear):
        small.in_features, small.out_features = inputs, out
    else:
        small.in_channels, small.out_channels = inputs, out
    small.weight = nn.Parameter(weight.contiguous().clone(), requires_grad=False)
    if layer.bias is not None:
        small.bias = nn.Parameter(layer.bias.detach()[outputs].clone(), requires_grad=False)
    return small


@torch.no_grad()
def keep_channels(module: nn.Module, kept: Tensor) -> nn.Module:
    """A batch norm or depthwise convolution with the channels `kept` (bool, (C,)) only."""
    small, count = _shallow(module), int(kept.sum())
    if isinstance(small, nn.modules.batchnorm._BatchNorm):
        small.num_features = count
    else:
        small.in_channels = small.out_channels = small.groups = count  # type: ignore[assignment]
    for name, value in module.named_parameters():
        setattr(small, name, nn.Parameter(value[kept].clone(), requires_grad=False))
    for name, buffer in module.named_buffers():
        if buffer.ndim:  # not the number of batches
            setattr(small, name, buffer[kept].clone())
    return small


def _shallow(module: M) -> M:
    """A copy with own dictionaries and the same tensors."""
    small = copy.copy(module)
    for name, value in vars(module).items():
        if isinstance(value, dict):
            small.__dict__[name] = copy.copy(value)
    return small
