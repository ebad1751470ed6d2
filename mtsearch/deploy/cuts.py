"""Smaller layers in a copy of a network."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mtsearch.deploy.channels import Use, needed_groups
from mtsearch.deploy.layers import Reader, keep_channels, smaller
from mtsearch.deploy.modules import is_layer
from mtsearch.deploy.tracing import Trace


@dataclass(frozen=True)
class Compacted:
    """The compacted network, and one sentence about each thing that was done to it."""

    model: nn.Module
    notes: tuple[str, ...]


def cut_channels(plain: nn.Module, trace: Trace, *, drop_unused: bool) -> Compacted:
    """Remove the channels that the outputs do not depend on, as a trace of the network shows."""
    groups = trace.groups
    modules = dict(plain.named_modules())
    for name in trace.read & trace.inputs.keys():
        groups.pin(trace.inputs[name])
        groups.pin(trace.outputs[name])
    names = [name for name in trace.inputs if name not in trace.read]
    uses = [
        Use(trace.inputs[name], trace.outputs[name], _reads(modules[name]))
        for name in names
        if is_layer(modules[name])
    ]
    needed = needed_groups(groups, uses)

    def kept(ids: Any) -> Tensor:
        return torch.from_numpy(needed[groups.roots(ids)])

    counts = _Counts()
    replaced: dict[int, nn.Module] = {}
    for name in names:
        module, present = modules[name], kept(trace.inputs[name])
        if is_layer(module):
            outputs = kept(trace.outputs[name])
            live = torch.from_numpy(_reads(module)[outputs.numpy()].any(0)) & present
            if not live.any():
                live[present.nonzero()[0]] = True
            replaced[id(module)] = counts.add(module, present, live, outputs)
        elif not present.all():
            replaced[id(module)] = keep_channels(module, present)
    unused = _unused(plain, trace) if drop_unused else []
    replaced |= {id(module): nn.Module() for module in unused}
    model = copy.deepcopy(plain, dict(replaced))
    return Compacted(model, counts.notes(trace, len(unused)))


def each_layer(plain: nn.Module, traces: list[Trace], reason: str) -> Compacted:
    """Let every layer by itself select the inputs it reads."""
    counts = _Counts()
    replaced: dict[int, nn.Module] = {}
    modules = dict(plain.named_modules())
    read = set().union(*(trace.read for trace in traces))
    for name in traces[0].inputs.keys() - read:
        module = modules[name]
        if is_layer(module):
            outputs, present = (torch.ones(n, dtype=torch.bool) for n in module.weight.shape[:2])
            live = torch.from_numpy(_reads(module).any(0))
            live[0] |= not live.any()
            replaced[id(module)] = counts.add(module, present, live, outputs)
    return Compacted(
        copy.deepcopy(plain, dict(replaced)),
        (
            f"No channel was removed where it is computed: {reason}.",
            f"Layers that select or sum the inputs they read: {counts.selected + counts.merged}.",
        ),
    )


def _reads(module: nn.Module) -> Any:
    weight: Tensor = module.weight.detach()  # type: ignore[operator]
    return (weight != 0).flatten(2).any(2).numpy() if weight.ndim > 2 else (weight != 0).numpy()


def _unused(plain: nn.Module, trace: Trace) -> list[nn.Module]:
    """The outermost modules with parameters of which the forward pass used none."""
    if len(trace.used) == 0:
        return []
    found: list[nn.Module] = []

    def visit(module: nn.Module, prefix: str) -> None:
        for name, child in module.named_children():
            path = f"{prefix}{name}"
            state = [*child.parameters(), *child.buffers()]
            storages = {trace.storages[t] for t in _paths(child, path) if t in trace.storages}
            if state and not storages & trace.used:
                found.append(child)
            else:
                visit(child, f"{path}.")

    visit(plain, "")
    return found


def _paths(module: nn.Module, prefix: str) -> list[str]:
    named = (*module.named_parameters(), *module.named_buffers())
    return [f"{prefix}.{name}" for name, _ in named]


class _Counts:
    """What was done to the layers."""

    def __init__(self) -> None:
        self.outputs = self.inputs = self.selected = self.merged = self.shared = 0

    def add(self, layer: nn.Module, present: Tensor, live: Tensor, outputs: Tensor) -> nn.Module:
        """The smaller layer, counted."""
        small = smaller(layer, present, live, outputs)  # type: ignore[arg-type]
        self.outputs += int((~outputs).sum())
        self.inputs += int((~live).sum())
        if isinstance(small, Reader):
            self.selected += small.select is not None
            self.merged += small.group is not None
        self.shared += not isinstance(layer, nn.Linear) and bool((present & ~live).any())
        return small

    def notes(self, trace: Trace, unused: int) -> tuple[str, ...]:
        """One sentence for each kind of change."""
        notes = [
            f"{self.inputs} inputs of layers are ignored by zero rows; {self.outputs} channels or"
            " features that nothing reads are not computed.",
            f"Layers that select the inputs they read: {self.selected}; that sum inputs with equal"
            f" weights first: {self.merged}.",
        ]
        if self.shared:
            notes.append(
                f"{self.shared} convolutions ignore channels that other layers read: those are"
                " computed still."
            )
        if trace.read:
            notes.append(
                f"Layers left alone because other code reads their parameters or attributes:"
                f" {len(trace.read)}."
            )
        if unused:
            notes.append(f"Modules left out because the forward pass does not use them: {unused}.")
        return tuple(notes)
