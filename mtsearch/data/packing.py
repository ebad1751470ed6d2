"""Inputs of a user's network: one tensor, or a tuple or dict of tensors, as rows of numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import InputPart

EXACT = 1 << 24  # whole numbers below it are exact in float32
DTYPES = {name: getattr(torch, name) for name in ("float32", "int64", "int32", "uint8", "bool")}


def parts_of(x: Any, where: str) -> tuple[InputPart, ...]:
    """The parts of a batch of inputs.

    Raises:
        BadInput: it is no tensor and no tuple or dict of tensors, or of another type.
    """
    named: Sequence[tuple[Any, Any]] = [(None, x)]
    if isinstance(x, Mapping):
        named = list(x.items())
    elif isinstance(x, list | tuple):
        named = list(enumerate(x))
    names = {dtype: name for name, dtype in DTYPES.items()}
    parts = []
    for key, value in named:
        what = where if key is None else f"{where}[{key!r}]"
        if not isinstance(value, Tensor) or value.dim() < 1:
            raise BadInput(
                f"{what} should be a tensor (B, ...), or a dict or tuple of tensors. Found"
                f" {type(value).__name__}. Convert it in the dataset or in `collate_fn`."
            )
        if value.dtype not in names:
            raise BadInput(
                f"{what} should be of type {', '.join(DTYPES)}. Found {value.dtype}. Convert it in"
                " the dataset, for example with `x.float()`."
            )
        parts.append(
            InputPart(key=key, shape=tuple(value.shape[1:]), dtype=names[value.dtype])  # type: ignore[arg-type]
        )
    return tuple(parts)


def _plain(parts: Sequence[InputPart]) -> bool:
    """Whether rows are the input itself: one float32 tensor (B, n, ...)."""
    return not parts or (
        parts[0].key is None and parts[0].dtype == "float32" and parts[0].shape != ()
    )


def pack(x: Any, parts: Sequence[InputPart], where: str = "x") -> Tensor:
    """A batch of inputs as float32 (B, ...), from which `unpack` makes the same inputs.

    Args:
        x: a tensor, or a tuple or dict of tensors.
        parts: of the inputs, from `parts_of`.
        where: names the inputs in messages.

    Raises:
        BadInput: the inputs have other parts, or whole numbers that float32 cannot represent.
    """
    found = parts_of(x, where)
    if parts and found != tuple(parts):
        raise BadInput(
            f"{where} should be a batch of inputs of {_shown(parts)}. Found {_shown(found)}. Give"
            " all batches the same form; pad examples of different lengths in `collate_fn`."
        )
    if _plain(parts):
        return x  # type: ignore[no-any-return]
    rows = []
    for part in parts:
        value: Tensor = x if part.key is None else x[part.key]
        if value.numel() and not value.is_floating_point() and value.dtype != torch.bool:
            largest = int(value.abs().max())
            if largest > EXACT:
                raise BadInput(
                    f"{where} should have whole numbers of at most {EXACT:,}. Found {largest:,}."
                )
        rows.append(value.reshape(len(value), -1).float())
    return torch.cat(rows, 1)


def unpack(rows: Tensor, parts: Sequence[InputPart]) -> Any:
    """The inputs of a network for float32 rows (B, ...) that `pack` returned."""
    if _plain(parts):
        return rows
    sizes = [math.prod(part.shape) for part in parts]
    values = [
        # numbers keep the type of the rows: a network may compute in another precision
        value if part.dtype == "float32" else value.to(DTYPES[part.dtype])
        for part, piece in zip(parts, rows.split(sizes, 1), strict=True)
        for value in [piece.reshape(-1, *part.shape)]
    ]
    if parts[0].key is None:
        return values[0]
    if isinstance(parts[0].key, int):
        return tuple(values)
    return {str(part.key): value for part, value in zip(parts, values, strict=True)}


def row_shape(x: Any, parts: Sequence[InputPart]) -> tuple[int, ...]:
    """The shape of one row of `pack`."""
    if _plain(parts):
        return tuple(x.shape[1:])
    return (sum(math.prod(part.shape) for part in parts),)


def _shown(parts: Sequence[InputPart]) -> str:
    return ", ".join(
        f"{'' if part.key is None else f'{part.key!r}: '}{part.dtype} {part.shape}"
        for part in parts
    )
