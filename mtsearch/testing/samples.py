"""Small seeded inputs and comparisons for the conformance suites."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from mtsearch.config.cards import TaskCard
from mtsearch.config.metrics import has_values
from mtsearch.data.stored import StoredRows, in_memory

TASKS = (
    TaskCard(name="scene", outputs=4),
    TaskCard(name="pixels", kind="segmentation", outputs=3),
    TaskCard(name="age", kind="regression", outputs=2),
)
"""A classification, a segmentation and a regression task."""

Shape = tuple[int, int, int]


@contextmanager
def seeded(seed: int = 0) -> Iterator[None]:
    """Run a block with torch's global generator seeded, then restore its state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def images(shape: Shape, count: int = 4, seed: int = 1) -> Tensor:
    """Return normalised images (count, C, H, W), channels-last as in a trial."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, *shape, generator=generator).contiguous(
        memory_format=torch.channels_last
    )


def targets(task: TaskCard, output: Tensor, seed: int = 2) -> Tensor:
    """Return random labels for the raw outputs (B, outputs[, H, W]) of a task: classes (B[, H, W]),
    or values of the shape of the outputs."""
    generator = torch.Generator().manual_seed(seed)
    if has_values(task.kind):
        return torch.randn(output.shape, generator=generator)
    return torch.randint(0, task.outputs, (output.shape[0], *output.shape[2:]), generator=generator)


def same(a: Tensor | StoredRows, b: Tensor | StoredRows) -> bool:
    """Return whether two tensors are bit-identical; NaN equals NaN."""
    a, b = in_memory(a), in_memory(b)
    return a.shape == b.shape and bool(
        torch.equal(torch.nan_to_num(a), torch.nan_to_num(b)) and torch.equal(a.isnan(), b.isnan())
    )


def close(a: Tensor, b: Tensor, tolerance: float = 1e-5) -> bool:
    """Return whether two tensors differ by at most `tolerance`, relative to 1 plus their largest
    absolute entry."""
    a, b = a.detach(), b.detach()
    return a.shape == b.shape and float((a - b).abs().max()) <= tolerance * (
        1 + float(torch.maximum(a.abs().max(), b.abs().max()))
    )


def names_of(tasks: Sequence[TaskCard]) -> list[str]:
    """Return the names of the tasks."""
    return [task.name for task in tasks]
