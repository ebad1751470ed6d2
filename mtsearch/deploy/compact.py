"""Compaction: a smaller network with the same outputs."""

from __future__ import annotations

import copy
import inspect

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _global_forward_hooks, _global_forward_pre_hooks

from mtsearch.deploy.compare import Probe, first_difference, probes_for, run
from mtsearch.deploy.cuts import Compacted, cut_channels, each_layer
from mtsearch.deploy.modules import copy_of
from mtsearch.deploy.tracing import Trace, Tracer
from mtsearch.sparsity import untie_


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
    try:
        traces = [_trace(precise, probe.images, False) for probe in probes[:2]]
    except Exception as error:  # code that does not run under a torch function mode
        raise _NotComparable(f"its channels cannot be followed ({_short(error)})") from error
    trace = traces[0]
    obstacle = trace.obstacle or _obstacle(plain, traces)
    tolerance = 1e-9
    if trace.lowest != torch.float64:
        tolerance = 100 * torch.finfo(trace.lowest).eps
    reasons: list[str] = [obstacle] if obstacle else []
    for level in () if obstacle else ("channels", "channels without reshapes"):
        if level != "channels":
            trace = _trace(precise, probes[0].images, True)
        found = cut_channels(plain, trace, drop_unused=level == "channels")
        difference = _difference(found.model, probes, tolerance)
        if difference is None:
            return found
        reasons = [difference]
    found = each_layer(plain, traces, reasons[0])
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


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:120]}" if text else type(error).__name__
