"""Smaller layers that compute what larger ones did."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mtsearch.deploy.rows import group_rows

Layer = nn.Conv2d | nn.Linear
_INDEX = 2  # an index entry takes the bytes of two weights


class Reader(nn.Module):
    """A layer behind the choice of its inputs: select those it reads, sum those it weighs alike,
    apply the smaller layer.

    `select` (m,) are positions on the input axis; `group` (m,) says to which of the layer's inputs
    each selected one is added.
    """

    select: Tensor | None
    group: Tensor | None

    def __init__(self, layer: Layer, select: Tensor | None, group: Tensor | None) -> None:
        super().__init__()
        self.layer = layer
        self.axis = 1 if isinstance(layer, nn.Conv2d) else -1
        self.inputs = layer.weight.shape[1]
        self.register_buffer("select", select)
        self.register_buffer("group", group)

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
        return Reader(_cut(layer, weight[:, live], outputs), select, None)
    return Reader(
        _cut(layer, weight[:, live][:, groups.first], outputs),
        select if selection else None,
        groups.group,
    )


def _cut(layer: Layer, weight: Tensor, outputs: Tensor) -> Layer:
    """The same kind of layer with this weight and the kept entries of the bias."""
    out, inputs = weight.shape[:2]
    has_bias = layer.bias is not None
    if isinstance(layer, nn.Linear):
        small: Layer = nn.Linear(inputs, out, has_bias, device="meta")
    else:
        small = nn.Conv2d(
            inputs,
            out,
            layer.kernel_size,  # type: ignore[arg-type]
            layer.stride,  # type: ignore[arg-type]
            layer.padding,  # type: ignore[arg-type]
            layer.dilation,  # type: ignore[arg-type]
            bias=has_bias,
            padding_mode=layer.padding_mode,
            device="meta",
        )
    small.weight = nn.Parameter(weight.contiguous().clone(), requires_grad=False)
    if layer.bias is not None:
        small.bias = nn.Parameter(layer.bias.detach()[outputs].clone(), requires_grad=False)
    return small.train(layer.training)


@torch.no_grad()
def keep_channels_(module: nn.Module, kept: Tensor) -> None:
    """Drop the channels not `kept` (bool, (C,)) from a batch norm or a depthwise convolution, in
    place. Others have no entry a channel."""
    if isinstance(module, nn.BatchNorm2d):
        module.num_features = int(kept.sum())
        for name in ("weight", "bias", "running_mean", "running_var"):
            value = getattr(module, name)
            if isinstance(value, nn.Parameter):
                setattr(module, name, nn.Parameter(value[kept].clone(), requires_grad=False))
            elif value is not None:
                setattr(module, name, value[kept].clone())
    elif isinstance(module, nn.Conv2d):
        module.in_channels = module.out_channels = module.groups = int(kept.sum())
        module.weight = nn.Parameter(module.weight[kept].clone(), requires_grad=False)
        if module.bias is not None:
            module.bias = nn.Parameter(module.bias[kept].clone(), requires_grad=False)
