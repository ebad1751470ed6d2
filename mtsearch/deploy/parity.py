"""Comparison of the outputs of two networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Predict = Callable[[Tensor], dict[str, Tensor]]


@dataclass(frozen=True)
class Parity:
    """The largest difference of raw outputs, absolute and relative to the largest output of its
    task, over so many `images`."""

    absolute: float
    relative: float
    images: int


@torch.no_grad()
def check_parity(
    expected: Predict, found: Predict, images: Tensor, tolerance: float, what: str, batch: int = 256
) -> Parity:
    """Compare the outputs on images (N, C, H, W), each task's difference relative to its largest
    expected output.

    Raises:
        RuntimeError: a relative difference above `tolerance`, or an output that is not a finite
            number; the sentence names the task.
    """
    gaps: dict[str, float] = {}
    sizes: dict[str, float] = {}
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        a, b = expected(part), found(part)
        if a.keys() != b.keys():
            raise RuntimeError(f"{what} should have the outputs {sorted(a)}. Found {sorted(b)}.")
        for name in a:
            gap, size = float((a[name] - b[name]).abs().max()), float(a[name].abs().max())
            gaps[name] = gap if gap != gap else max(gaps.get(name, 0.0), gap)
            sizes[name] = max(sizes.get(name, 0.0), size)
    relative = {name: gap / max(sizes[name], 1e-30) for name, gap in gaps.items()}
    for name, value in relative.items():
        if not value <= tolerance:
            raise RuntimeError(
                f"{what} should give the outputs of the trained network, within {tolerance:g} of"
                f" the largest output. Found {value:g} for task `{name}` ({gaps[name]:g} absolute)"
                f" on {len(images)} validation images."
            )
    return Parity(max(gaps.values()), max(relative.values()), len(images))
