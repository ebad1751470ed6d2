"""What ranks sum and share: gradients, buffers, the states of their generators."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from mtsearch.training.world import World

BUCKET = 25 * 2**20  # bytes that are summed at once


def sum_gradients_(
    parameters: Sequence[nn.Parameter], world: World, done: Iterable[nn.Parameter] = ()
) -> None:
    """Replace each gradient by its sum over all ranks, in a few large messages; those in `done` are
    such sums already.

    Losses are divided by the label count of all ranks before, so the sum is the gradient on the
    joint batch. Every rank has the same parameters with a gradient, because all train the same
    tasks in the same step.
    """
    if world.size == 1:
        return
    finished = {id(p) for p in done}
    waiting: list[Tensor] = []
    size = 0
    for parameter in parameters:
        if parameter.grad is None or id(parameter) in finished:
            continue
        waiting.append(parameter.grad)
        size += parameter.grad.numel() * parameter.grad.element_size()
        if size >= BUCKET:
            _sum_(waiting, world)
            waiting, size = [], 0
    _sum_(waiting, world)


def _sum_(gradients: list[Tensor], world: World) -> None:
    by_type: dict[torch.dtype, list[Tensor]] = {}
    for gradient in gradients:
        by_type.setdefault(gradient.dtype, []).append(gradient)
    for same in by_type.values():
        flat = world.sum_(torch.cat([g.flatten() for g in same]))
        for gradient, part in zip(same, flat.split([g.numel() for g in same]), strict=True):
            gradient.copy_(part.view_as(gradient))


@torch.no_grad()
def copy_from_first_(tensors: Iterable[Tensor], world: World) -> None:
    """Give every rank the first one's values: running statistics that each rank made of its own
    images."""
    if world.size == 1:
        return
    for tensor in tensors:
        if world.rank:
            tensor.zero_()
        world.sum_(tensor)


def gathered(state: Tensor, world: World) -> list[Tensor]:
    """A tensor of every rank, in order; all have one shape and are bytes."""
    rows = torch.zeros((world.size, *state.shape), dtype=torch.int32)
    rows[world.rank] = state
    return list(world.sum_(rows).to(state.dtype))
