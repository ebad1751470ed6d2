"""Compaction: a smaller network with the same outputs."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
import torch.fx
from torch import Tensor, nn

from mtsearch.deploy.graph import Network
from mtsearch.deploy.layers import Layer, Reader, keep_channels_, smaller
from mtsearch.deploy.rows import live_inputs
from mtsearch.sparsity import untie_
from mtsearch.sparsity.rows import zero_rows


@dataclass(frozen=True)
class Compacted:
    """The compacted network, and one sentence a fact about what was done to it."""

    model: nn.Module
    notes: tuple[str, ...]


@torch.no_grad()
def compact(network: nn.Module, shape: tuple[int, int, int]) -> Compacted:
    """Remove what does not count from a network, leaving its outputs as they are up to rounding.

    - A channel or feature that every consumer ignores (zero input rows) is no longer computed: its
      producer loses the output, the batch norms and depthwise convolutions in between their entry.
      As it is not read, neither its bias nor what a batch norm made of it counts.
    - A layer that ignores an input which exists for others selects the inputs it reads, where that
      is smaller.
    - Inputs with equal rows are summed before a layer with one of these rows, where that is
      smaller.

    Producers are found through single-input operations that keep channels apart; beyond sums,
    products and concatenations (residual connections) a channel is never removed, only not read.

    Args:
        network: a module of one argument, images (B, C, H, W). It is left as it is.
        shape: (channels, height, width) of the images.
    """
    plain = copy.deepcopy(network).cpu().eval().requires_grad_(False)
    untie_(plain)
    plain.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    try:
        graph = Network(plain, shape)
    except Exception as error:  # tracing runs the network's own code, which may raise anything
        return _each_layer(plain, type(error).__name__)
    return _through_graph(graph)


def _through_graph(graph: Network) -> Compacted:
    needed = _needed(graph)
    kept: dict[torch.fx.Node, Tensor] = {}
    outputs = inputs = selected = merged = kept_apart = 0
    for node in graph.nodes:
        source = node.all_input_nodes[0] if node.all_input_nodes else node
        origin = graph.flattened(node)
        if graph.is_layer(node):
            layer = graph.called(node)
            kept[node] = needed[node]
            live = live_inputs(layer.weight, kept[node])  # type: ignore[union-attr, arg-type]
            small = smaller(layer, kept[source], live, kept[node])  # type: ignore[arg-type]
            graph.module.set_submodule(str(node.target), small)
            outputs += int((~kept[node]).sum())
            inputs += int((~live).sum())
            selected += isinstance(small, Reader) and small.select is not None
            merged += isinstance(small, Reader) and small.group is not None
            kept_apart += isinstance(layer, nn.Conv2d) and bool((kept[source] & ~live).any())
        elif graph.is_channelwise(node):
            kept[node] = kept[source]
            module = graph.called(node)
            if module is not None:
                keep_channels_(module, kept[node])
        elif origin is not None:
            kept[node] = kept[source][origin]
        else:
            kept[node] = torch.ones(graph.channels(node), dtype=torch.bool)
            layer = graph.called(node)
            if _is_plain(
                layer
            ):  # used twice or on sequences of vectors: all its inputs arrive, it need not read all
                small = _alone(layer)  # type: ignore[arg-type]
                graph.module.set_submodule(str(node.target), small)
                inputs += int(zero_rows(layer.weight).sum())  # type: ignore[union-attr, arg-type]
                selected += isinstance(small, Reader) and small.select is not None
                merged += isinstance(small, Reader) and small.group is not None
    graph.module.recompile()
    joined = (
        f"{kept_apart} convolutions ignore channels that a sum, a product or a concatenation also"
        " takes: those are computed still."
    )
    return Compacted(
        graph.module,
        (
            (
                f"{inputs} inputs of layers are ignored by zero rows; {outputs} channels or"
                " features that nothing reads are not computed."
            ),
            (
                f"Layers that select the inputs they read: {selected}; that sum inputs with equal"
                f" weights first: {merged}."
            ),
            *([joined] if kept_apart else []),
        ),
    )


def _needed(graph: Network) -> dict[torch.fx.Node, Tensor]:
    """By node, (channels,) bool: what the rest of the network depends on. At least one channel of
    each layer."""
    needed: dict[torch.fx.Node, Tensor] = {}
    for node in reversed(graph.nodes):
        mask = torch.zeros(graph.channels(node), dtype=torch.bool)
        for user in node.users:
            origin = graph.flattened(user)
            if graph.is_layer(user):
                mask |= live_inputs(graph.called(user).weight, needed[user])  # type: ignore[union-attr, arg-type]
            elif graph.is_channelwise(user):
                mask |= needed[user]
            elif origin is not None:
                mask[origin[needed[user]]] = True
            else:
                mask[:] = True
        needed[node] = mask
    return needed


def _is_plain(layer: nn.Module | None) -> bool:
    return type(layer) is nn.Linear or (type(layer) is nn.Conv2d and layer.groups == 1)


def _alone(layer: Layer) -> nn.Module:
    """The layer by itself reading its live inputs only: exact whatever lies around it."""
    outputs, present = (torch.ones(size, dtype=torch.bool) for size in layer.weight.shape[:2])
    return smaller(layer, present, live_inputs(layer.weight, outputs), outputs)


def _each_layer(plain: nn.Module, why: str) -> Compacted:
    """Compact every layer by itself."""
    count = 0
    for name, layer in list(plain.named_modules()):
        if _is_plain(layer):
            small = _alone(layer)  # type: ignore[arg-type]
            plain.set_submodule(name, small)
            count += isinstance(small, Reader)
    return Compacted(
        plain,
        (
            f"The network could not be traced ({why}), so no channel was removed where it is made.",
            f"Layers that select or sum the inputs they read: {count}.",
        ),
    )
