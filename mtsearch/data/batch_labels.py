"""Labels of a batch: their values, their movement, and the value of pixels without a label."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor


def label_values(labels: dict[str, Tensor], outside: Tensor | None = None) -> dict[str, Tensor]:
    """Labels, with images converted to floats in [0, 1] and NaN where ``outside`` (B, H, W)."""
    out = {}
    for name, values in labels.items():
        if values.dtype == torch.uint8:
            values = values.to(torch.float32).div_(255)
            if outside is not None:
                values.masked_fill_(outside[:, None], math.nan)
        out[name] = values
    return out


def moved_labels(labels: Tensor, source: Tensor) -> Tensor:
    """Gather labels (B[, C], P) at the source pixels (B, H*W) of the result."""
    return labels.gather(
        -1, source if labels.dim() == 2 else source[:, None].expand(-1, labels.shape[1], -1)
    )


def ignored_value(name: str, dtype: torch.dtype, ignore: int | Mapping[str, float]) -> float:
    """The value that marks a task's pixels as not labelled."""
    if dtype == torch.uint8:
        return 0  # a byte cannot represent it; `label_values` sets NaN
    whole = not dtype.is_floating_point
    default: float = (ignore if isinstance(ignore, int) else -1) if whole else math.nan
    value = ignore.get(name, default) if isinstance(ignore, Mapping) else default
    if whole and not float(value).is_integer():
        raise ValueError(
            f"Parameter `ignore` should give a whole number for `{name}`, whose labels are"
            f" {dtype}. Found {value}."
        )
    return value
