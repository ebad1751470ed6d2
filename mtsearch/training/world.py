"""The ranks that train one trial together, and their collectives. Values are sent as JSON and raw
tensors, so that receiving them executes no code from a message."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mtsearch.training.state import decode, encode

BUCKET = 25 * 2**20  # bytes of gradients per all-reduce


@dataclass(frozen=True)
class World:
    """The rank of this process among those that train one trial, and their collectives.

    With more than one rank, torch's default process group must be initialised first (gloo for
    states on CPUs). All ranks must call the collectives in the same order; with one rank they
    return their argument.

    Args:
        rank: the rank of this process, from 0.
        size: the number of ranks.
    """

    rank: int = 0
    size: int = 1

    def all_reduce_(self, tensor: Tensor) -> Tensor:
        """Replace a tensor by its sum over all ranks, and return it. The result is bit-identical on
        all ranks."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def all_gather(self, values: list[float]) -> list[list[float]]:
        """Return the lists of all ranks, which must have equal lengths, by rank."""
        if self.size == 1:
            return [values]
        own = torch.tensor(values, dtype=torch.float64)
        found = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(found, own)
        return [part.tolist() for part in found]

    def broadcast(self, tree: Any, source: int = 0) -> Any:
        """Return the tree of tensors and plain values of rank `source` on every rank. The argument
        of other ranks is ignored."""
        if self.size == 1:
            return tree
        return self._receive(source, None) if self.rank != source else self._send(tree, None)

    def send(self, tree: Any, source: int, target: int) -> Any:
        """Return the tree of rank `source` on rank `target`, and None on the other ranks. Only the
        argument of rank `source` is used."""
        if source == target or self.rank not in (source, target):
            return tree if self.rank == target else None
        return self._send(tree, target) if self.rank == source else self._receive(source, target)

    def _send(self, tree: Any, target: int | None) -> Any:
        tensors: dict[str, Tensor] = {}
        text = encode(tree, "", tensors)
        layout = [
            [name, str(t.dtype).removeprefix("torch."), list(t.shape)]
            for name, t in tensors.items()
        ]
        head = json.dumps([text, layout])
        self._send_bytes(torch.frombuffer(bytearray(head.encode()), dtype=torch.uint8), target)
        body = [t.reshape(-1).view(torch.uint8) for t in tensors.values() if t.numel()]
        self._send_bytes(torch.cat(body) if body else torch.empty(0, dtype=torch.uint8), target)
        return tree if target is None else None

    def _send_bytes(self, data: Tensor, target: int | None) -> None:
        for part in (torch.tensor([data.numel()]), data):
            if target is None:
                dist.broadcast(part, src=self.rank)
            elif part.numel():
                dist.send(part, dst=target)

    def _receive(self, source: int, target: int | None) -> Any:
        head = self._receive_bytes(source, target)
        text, layout = json.loads(bytes(head.tolist()).decode())
        body, start = self._receive_bytes(source, target), 0
        tensors: dict[str, Tensor] = {}
        for name, kind, shape in layout:
            dtype = getattr(torch, kind)
            size = math.prod(shape) * dtype.itemsize
            tensors[name] = (
                body[start : start + size].clone().view(dtype).reshape(shape)
                if size
                else torch.empty(shape, dtype=dtype)
            )
            start += size
        return decode(text, tensors)

    def _receive_bytes(self, source: int, target: int | None) -> Tensor:
        count = torch.zeros(1, dtype=torch.int64)
        dist.broadcast(count, src=source) if target is None else dist.recv(count, src=source)
        data = torch.empty(int(count), dtype=torch.uint8)
        if target is None:
            dist.broadcast(data, src=source)
        elif data.numel():
            dist.recv(data, src=source)
        return data


def all_reduce_gradients_(
    parameters: Sequence[nn.Parameter], world: World, done: Iterable[nn.Parameter] = ()
) -> None:
    """Replace each gradient by its sum over all ranks, in a few large messages.

    Losses are divided by the number of labels on all ranks, so that the sum is the gradient on the
    global batch. The same parameters have a gradient on every rank, because all ranks train the
    same tasks in a step.

    Args:
        parameters: the trained parameters; those without a gradient are skipped.
        world: the ranks.
        done: parameters whose gradients are already summed.
    """
    if world.size == 1:
        return
    skipped = {id(p) for p in done}
    waiting: list[Tensor] = []
    size = 0
    for parameter in parameters:
        if parameter.grad is None or id(parameter) in skipped:
            continue
        waiting.append(parameter.grad)
        size += parameter.grad.numel() * parameter.grad.element_size()
        if size >= BUCKET:
            _reduce_bucket_(waiting, world)
            waiting, size = [], 0
    _reduce_bucket_(waiting, world)


def _reduce_bucket_(gradients: list[Tensor], world: World) -> None:
    by_type: dict[torch.dtype, list[Tensor]] = {}
    for gradient in gradients:
        by_type.setdefault(gradient.dtype, []).append(gradient)
    for same in by_type.values():
        flat = world.all_reduce_(torch.cat([g.flatten() for g in same]))
        for gradient, part in zip(same, torch.split(flat, [g.numel() for g in same]), strict=True):
            gradient.copy_(part.view_as(gradient))


@torch.no_grad()
def broadcast_tensors_(tensors: Iterable[Tensor], world: World) -> None:
    """Replace the tensors on every rank by those of rank 0, in place. This is for running
    statistics, which each rank computes from its own images."""
    if world.size == 1:
        return
    for tensor in tensors:
        if world.rank:
            tensor.zero_()
        world.all_reduce_(tensor)


def all_gather_bytes(state: Tensor, world: World) -> list[Tensor]:
    """Return a uint8 tensor of every rank, by rank. Their shapes must be equal."""
    rows = torch.zeros((world.size, *state.shape), dtype=torch.int32)
    rows[world.rank] = state
    return list(world.all_reduce_(rows).to(state.dtype))
