"""Rows: the groups that GrOWL acts on. A row is an input channel of a convolution or an input
feature of a linear layer (axis 1 of the weight)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtsearch.config.errors import nearest

Layer = nn.Conv2d | nn.Linear


def row_matrix(weight: Tensor) -> Tensor:
    """The rows of a weight (out, n, ...) as a matrix (n, out * ...): axes 0 and 1 are swapped
    before flattening, whatever the memory format."""
    return weight.detach().transpose(0, 1).flatten(1)


def row_norms(weight: Tensor) -> Tensor:
    """The Euclidean norms (n,) of the rows of a weight (out, n, ...), without copying it.

    Example:
        >>> row_norms(torch.tensor([[3.0, 0.0], [4.0, 0.0]])).tolist()
        [5.0, 0.0]
    """
    axes = [axis for axis in range(weight.ndim) if axis != 1]
    norms: Tensor = torch.linalg.vector_norm(weight.detach(), dim=axes)
    return norms


def zero_rows(weight: Tensor) -> Tensor:
    """(n,) bool: the rows whose entries are all exactly zero (cancelling entries do not count).

    Example:
        >>> zero_rows(torch.tensor([[3.0, 0.0], [4.0, 0.0]])).tolist()
        [False, True]
    """
    return (row_matrix(weight) == 0).all(1)


def scale_rows_(weight: Tensor, scale: Tensor) -> None:
    """Multiply the rows of `weight` (out, n, ...) by `scale` (n,) in place, outside autograd."""
    with torch.no_grad():
        weight.mul_(scale.to(weight).view(1, -1, *[1] * (weight.ndim - 2)))


def prunable_layers(model: nn.Module, prunable: Sequence[str]) -> dict[str, Layer]:
    """The modules named in `prunable`. Raises ValueError for a name without such a module."""
    layers: dict[str, Layer] = {}
    for name in prunable:
        try:
            layer = model.get_submodule(name)
        except AttributeError:
            known = [
                known
                for known, module in model.named_modules()
                if isinstance(module, nn.Conv2d | nn.Linear)
            ]
            raise ValueError(
                f"Prunable layer `{name}` is not a layer of the network. {nearest(name, known)}"
            ) from None
        if not isinstance(layer, nn.Conv2d | nn.Linear) or (
            isinstance(layer, nn.Conv2d) and layer.groups != 1
        ):
            raise ValueError(
                f"Prunable layer `{name}` should be a Linear or an ungrouped Conv2d. Found {layer}."
            )
        layers[name] = layer
    return layers
