"""Measures of sparsity and of shared parameters, by rows (as in the papers) and by parameters."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from mtsearch.sparsity.rows import row_matrix


@torch.no_grad()
def measures(model: nn.Module) -> dict[str, float]:
    """The model's measures; tied weights count with all their members.

    - ``model/params``: entries of all parameters, zero or not;
    - ``model/nonzero``: those of them that are not zero;
    - ``model/trainable``: those of them that training changes (`requires_grad`);
    - ``model/density``: the share of them that is not zero, in [0, 1].
    - ``model/sparsity_rate``: SR = 100 Z / N, percent of zero rows;
    - ``model/compression_rate``: CR = N / U;
    - ``model/parameter_sharing``: PS = (N - Z) / U = CR (1 - SR / 100),

    with N rows in all weights of two or more axes (heads and image-reading layers included), Z zero
    ones, and U the sum over the layers of their distinct rows (exact equality; the zero row counts
    as one) (Hotegni et al. 2024, by input channels).
    """
    total = nonzero = trainable = rows = zero = distinct = 0
    for tensor, needs_grad in _parameters(model):
        total += tensor.numel()
        nonzero += int(torch.count_nonzero(tensor))
        trainable += tensor.numel() * needs_grad
    for _, weight in _weights(model):
        matrix = row_matrix(weight)
        rows += len(matrix)
        zero += int((matrix == 0).all(1).sum())
        distinct += _distinct(matrix)
    if rows == 0 or total == 0:
        raise ValueError(
            f"The model should have weights to measure. Found {type(model).__name__} without any."
        )
    return {
        "model/params": total,
        "model/nonzero": nonzero,
        "model/trainable": trainable,
        "model/density": nonzero / total,
        "model/sparsity_rate": 100 * zero / rows,
        "model/compression_rate": rows / distinct,
        "model/parameter_sharing": (rows - zero) / distinct,
    }


def row_totals(model: nn.Module) -> dict[str, int]:
    """The number of rows of each weight with two or more axes, by module name; their sum is N of
    `measures`."""
    return {name: weight.shape[1] for name, weight in _weights(model)}


def _weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Every module's `weight` of two or more axes, inputs on axis 1; tied ones as they are used."""
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, Tensor) and weight.ndim >= 2:
            yield name, weight.transpose(0, 1) if isinstance(module, nn.ConvTranspose2d) else weight


def _parameters(model: nn.Module) -> Iterator[tuple[Tensor, bool]]:
    """Every parameter, tied ones as they are used, and whether training changes it."""
    for module in model.modules():
        if parametrize.is_parametrized(module):
            for name, originals in module.parametrizations.items():  # type: ignore[union-attr, operator]
                yield (
                    getattr(module, name),
                    any(p.requires_grad for p in originals.parameters(recurse=False)),
                )
        if not isinstance(module, parametrize.ParametrizationList):
            for tensor in module.parameters(recurse=False):
                yield tensor, tensor.requires_grad


def _distinct(matrix: Tensor) -> int:
    """The number of distinct rows of a matrix (n, length)."""
    values = matrix.float().cpu().numpy() + 0.0  # -0.0 and 0.0 are equal, but not their bytes
    return len(
        np.unique(np.ascontiguousarray(values).view(f"V{values.shape[1] * values.itemsize}"))
    )
