"""Tied rows as a parametrisation: the optimiser sees the unique rows only."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from mtsearch.sparsity.structure import Structure


class Tie(nn.Module):
    """``weight[:, i] = U[:, g(i)]``, and exactly zero where ``g(i) = -1``.

    `U` (out, c, ...) contains the unique rows on axis 1; the gradient of one is the sum of its
    members'. Works at every step and with any optimiser.
    """

    index: Tensor

    def __init__(self, index: Tensor) -> None:
        super().__init__()
        self.unique = int(index.max()) + 1
        # the zero row is the last one
        self.register_buffer("index", torch.where(index < 0, self.unique, index))

    def forward(self, unique: Tensor) -> Tensor:
        """U (out, c, ...) -> weight (out, n, ...)."""
        return torch.cat(
            [unique, unique.new_zeros(unique.shape[0], 1, *unique.shape[2:])], 1
        ).index_select(1, self.index)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Weight (out, n, ...) -> U (out, c, ...), the mean of each row's members. Raises
        ValueError where members cancel."""
        index = self.index.to(weight.device)
        sums = weight.new_zeros(weight.shape[0], self.unique + 1, *weight.shape[2:]).index_add(
            1, index, weight
        )
        sizes = torch.bincount(index, minlength=self.unique + 1)[: self.unique].to(weight)
        means = sums[:, : self.unique] / sizes.view(1, -1, *[1] * (weight.ndim - 2))
        members_zero = (weight == 0).transpose(0, 1).flatten(1).all(1)
        cancelled = (means == 0).transpose(0, 1).flatten(1).all(1)
        if bool(cancelled[index[~members_zero & (index < self.unique)]].any()):
            raise ValueError("Tied rows should be similar. Found a cluster whose mean is zero.")
        return means.contiguous()


def tie_(model: nn.Module, structure: Structure) -> None:
    """Parametrise the weights of the structure's layers by their unique rows (means of the
    members). Create the optimiser afterwards.

    A layer without zero and without tied rows is left as it is. The state dict then holds
    ``<layer>.parametrizations.weight.original`` (the unique rows) and
    ``<layer>.parametrizations.weight.0.index``; to load one, tie a fresh model with the same
    structure first.

    Raises:
        ValueError: a map that does not fit its layer, a layer that is parametrised already or has
            no row left, or a cluster with mean zero.
    """
    for name, index in structure.rows.items():
        layer = model.get_submodule(name)
        if parametrize.is_parametrized(layer):
            raise ValueError(f"Layer `{name}` is parametrised already; call `untie_` first.")
        weight: Tensor = layer.weight  # type: ignore[assignment]
        if index.shape != weight.shape[1:2]:
            raise ValueError(
                f"The map of layer `{name}` should have {weight.shape[1]} entries. Found"
                f" {len(index)}."
            )
        if structure.unique(name) == 0:
            raise ValueError(f"Layer `{name}` should keep at least one row. Found only zero rows.")
        if structure.unique(name) == len(index):
            continue
        weight.grad = None
        parametrize.register_parametrization(layer, "weight", Tie(index.to(weight.device)))


def untie_(model: nn.Module) -> None:
    """Turn tied weights into plain ones with the same values; copies of the model stay tied.

    Create a new optimiser afterwards.
    """
    for layer in model.modules():
        if _is_tied(layer):
            weight = nn.Parameter(layer.weight.detach().clone())  # type: ignore[operator]
            # torch's remove_parametrizations deletes the property from the class, which deep copies
            # of the layer share
            del layer.parametrizations
            layer.__class__ = type(layer).__bases__[0]
            layer.register_parameter("weight", weight)


def _is_tied(layer: nn.Module) -> bool:
    if not parametrize.is_parametrized(layer, "weight"):
        return False
    return isinstance(layer.parametrizations["weight"][0], Tie)  # type: ignore[index]
