"""Compaction: a smaller network with the same outputs."""

from __future__ import annotations

import copy
import inspect
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _global_forward_hooks, _global_forward_pre_hooks

from mtsearch.deploy.channels import Use, needed_groups
from mtsearch.deploy.compare import Probe, first_difference, probes_for, run
from mtsearch.deploy.layers import Reader, keep_channels, smaller
from mtsearch.deploy.modules import copy_of, is_layer
from mtsearch.deploy.tracing import Trace, Tracer
from mtsearch.sparsity import untie_


@dataclass(frozen=True)
class Compacted:
    """The compacted network, and one sentence about each thing that was done to it."""

    model: nn.Module
    notes: tuple[str, ...]


class _NotComparable(Exception):
    """The network cannot be compacted and compared; the message is the rest of a sentence."""


@torch.no_grad()
def compact(network: nn.Module, shape: tuple[int, ...] | Tensor) -> Compacted:
    """Remove what does not count from a network, leaving its function as it is up to rounding.

    - A channel or feature that every consumer ignores (zero input rows) is no longer computed: its
      producers lose the output, batch norms and depthwise convolutions their entry.
    - A layer that ignores an input which exists for others selects the inputs it reads, where that
      is smaller.
    - Inputs with equal rows are summed before a layer with one of these rows, where that is
      smaller.

    The network runs once with random inputs, and its channels are followed through the functions it
    calls. The result runs the network's own code with smaller layers. It is compared with
    the original in float64 at two batch sizes and, where the original takes it, another image size.
    Where they differ, or where Python code reads values of tensors, channels are left as they are
    and each layer selects its inputs only; where that differs too the network is returned
    unchanged. A note says which.

    Layers with hooks or parametrisations, layers whose parameters or attributes other code reads,
    and the parts of torch's composite modules (attention, recurrent and transformer layers) are
    left alone.

    Args:
        network: a module that is called with one tensor. It is left as it is.
        shape: the shape of one sample, such as (channels, height, width); or an example input
            (B, ...), needed where inputs are integers.

    Returns:
        A copy in evaluation mode on the CPU, and notes.
    """
    try:
        plain = copy_of(network).cpu().eval().requires_grad_(False)
    except Exception as error:  # deep copies run the network's own code
        return Compacted(
            network, (f"Nothing was compacted: the network cannot be copied ({_short(error)}).",)
        )
    untie_(plain)
    try:
        return _compacted(plain, shape)
    except _NotComparable as error:
        return Compacted(plain, (f"Nothing was compacted: {error}.",))


def _compacted(plain: nn.Module, shape: tuple[int, ...] | Tensor) -> Compacted:
    if _global_forward_hooks or _global_forward_pre_hooks:
        raise _NotComparable("a hook on all modules is registered")
    try:
        precise = copy.deepcopy(plain).double()
        probes = probes_for(precise, shape)
        repeated = [run(precise, probe) for probe in probes]
    except Exception as error:
        raise _NotComparable(
            f"the network does not run in float64 on random inputs ({_short(error)})"
        ) from error
    for probe, again in zip(probes, repeated, strict=True):
        if first_difference(probe.expected, again, 0.0) is not None:
            raise _NotComparable("two runs on the same input give different outputs")
    traces = [_trace(precise, probe.images, False) for probe in probes[:2]]
    trace = traces[0]
    obstacle = trace.obstacle or _obstacle(plain, traces)
    tolerance = 1e-9
    if trace.lowest != torch.float64:
        tolerance = 100 * torch.finfo(trace.lowest).eps
    reasons: list[str] = [obstacle] if obstacle else []
    for level in () if obstacle else ("channels", "channels without reshapes"):
        if level != "channels":
            trace = _trace(precise, probes[0].images, True)
        found = _cut_channels(plain, trace, drop_unused=level == "channels")
        difference = _difference(found.model, probes, tolerance)
        if difference is None:
            return found
        reasons = [difference]
    found = _each_layer(plain, traces, reasons[0])
    difference = _difference(found.model, probes, tolerance)
    if difference is None:
        return found
    raise _NotComparable(f"with smaller layers, {difference}")


def _trace(precise: nn.Module, images: Tensor, fixed_reshapes: bool) -> Trace:
    return Tracer(copy.deepcopy(precise), fixed_reshapes=fixed_reshapes).run(images)


def _obstacle(plain: nn.Module, traces: list[Trace]) -> str | None:
    """Why one forward pass does not show all of the network's code."""
    if any(trace.calls != traces[0].calls for trace in traces):
        return "the code depends on the batch size"
    forward = getattr(plain, "forward", None)
    try:
        parameters = inspect.signature(forward).parameters if forward else {}
    except (TypeError, ValueError):
        parameters = {}
    if len(parameters) > 1:
        return f"`forward` takes {len(parameters)} arguments"
    return None


def _difference(model: nn.Module, probes: list[Probe], tolerance: float) -> str | None:
    """What differs between the outputs of a model and the expected ones."""
    precise = copy.deepcopy(model).double()
    for probe in probes:
        try:
            found = run(precise, probe)
        except Exception as error:
            return f"it does not run ({_short(error)})"
        difference = first_difference(probe.expected, found, tolerance)
        if difference is not None:
            return difference
    return None


def _cut_channels(plain: nn.Module, trace: Trace, *, drop_unused: bool) -> Compacted:
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


def _each_layer(plain: nn.Module, traces: list[Trace], reason: str) -> Compacted:
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


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:120]}" if text else type(error).__name__
