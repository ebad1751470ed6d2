"""The ranks that train one trial together, and the few collectives they need: nothing that comes
from another rank can run code."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from mtsearch.training.state import decode, encode


@dataclass(frozen=True)
class World:
    """This process among those that train one trial: rank 0 of 1 unless told otherwise.

    With more than one, torch's default process group should be connected before (gloo for states on
    CPUs). All ranks call the collectives in the same order; with one rank these do nothing.
    """

    rank: int = 0
    size: int = 1

    def sum_(self, tensor: Tensor) -> Tensor:
        """Replace a tensor by its sum over all ranks, and return it. All get the same bits."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def gather(self, values: list[float]) -> list[list[float]]:
        """The lists of all ranks, which are equally long, by rank."""
        if self.size == 1:
            return [values]
        mine = torch.tensor(values, dtype=torch.float64)
        found = [torch.empty_like(mine) for _ in range(self.size)]
        dist.all_gather(found, mine)
        return [part.tolist() for part in found]

    def tell(self, tree: Any, source: int = 0) -> Any:
        """What rank `source` gives, on every rank: a tree of tensors and plain values. What the
        others give is not looked at."""
        if self.size == 1:
            return tree
        return self._receive(source, None) if self.rank != source else self._send(tree, None)

    def move(self, tree: Any, source: int, target: int) -> Any:
        """The tree that rank `source` gives, on rank `target`; None on ranks that are neither, and
        what they give is not looked at."""
        if source == target or self.rank not in (source, target):
            return tree if self.rank == target else None
        return self._send(tree, target) if self.rank == source else self._receive(source, target)

    def _send(self, tree: Any, target: int | None) -> Any:
        tensors: dict[str, Tensor] = {}
        text = encode(tree, "", tensors)
        head = json.dumps(
            [
                text,
                [
                    [name, str(t.dtype).removeprefix("torch."), list(t.shape)]
                    for name, t in tensors.items()
                ],
            ]
        )
        self._pass(torch.frombuffer(bytearray(head.encode()), dtype=torch.uint8), target)
        body = [t.reshape(-1).view(torch.uint8) for t in tensors.values() if t.numel()]
        self._pass(torch.cat(body) if body else torch.empty(0, dtype=torch.uint8), target)
        return tree if target is None else None

    def _pass(self, data: Tensor, target: int | None) -> None:
        for part in (torch.tensor([data.numel()]), data):
            if target is None:
                dist.broadcast(part, src=self.rank)
            elif part.numel():
                dist.send(part, dst=target)

    def _receive(self, source: int, target: int | None) -> Any:
        text, layout = json.loads(bytes(self._get(source, target).tolist()).decode())
        body, tensors, start = self._get(source, target), {}, 0
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

    def _get(self, source: int, target: int | None) -> Tensor:
        count = torch.zeros(1, dtype=torch.int64)
        dist.broadcast(count, src=source) if target is None else dist.recv(count, src=source)
        data = torch.empty(int(count), dtype=torch.uint8)
        if target is None:
            dist.broadcast(data, src=source)
        elif data.numel():
            dist.recv(data, src=source)
        return data
