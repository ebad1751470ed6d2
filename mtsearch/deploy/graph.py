"""A network as a graph, and what each of its nodes does with channels."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
import torch.fx
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx.passes.shape_prop import ShapeProp

from mtsearch.models.flatten import FlattenPixels

_CHANNELWISE_MODULES = (
    nn.BatchNorm2d,
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
    nn.Upsample,
    nn.Dropout,
    nn.Dropout2d,
    nn.Identity,
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.GELU,
    nn.SiLU,
    nn.Sigmoid,
    nn.Tanh,
    nn.Hardswish,
    nn.Hardsigmoid,
)
_CHANNELWISE_FUNCTIONS = {
    F.relu,
    F.relu6,
    F.gelu,
    F.silu,
    F.hardswish,
    F.adaptive_avg_pool2d,
    F.avg_pool2d,
    F.max_pool2d,
    F.dropout,
    F.interpolate,
    torch.relu,
    torch.sigmoid,
    torch.tanh,
}


class _Tracer(torch.fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, FlattenPixels) or super().is_leaf_module(m, module_qualified_name)


class Network:
    """A traced network of one image argument, with the shapes of its nodes.

    Args:
        network: in eval mode; its modules become the graph's.
        shape: (channels, height, width) of the images.

    Raises:
        Exception: whatever tracing raises for a network whose way depends on values.
    """

    def __init__(self, network: nn.Module, shape: tuple[int, int, int]) -> None:
        self.module = torch.fx.GraphModule(network, _Tracer().trace(network))
        self.module.graph.eliminate_dead_code()
        reference = next(network.parameters())
        ShapeProp(self.module).propagate(
            torch.zeros((2, *shape), dtype=reference.dtype, device=reference.device)
        )
        self.nodes = list(self.module.graph.nodes)
        self._uses = Counter(
            id(self.called(node)) for node in self.nodes if node.op == "call_module"
        )
        # Known from the start: what is put in a layer's place would look like a layer that is
        # called once.
        self._layers = {node for node in self.nodes if self._layer(node)}
        self._channelwise = {node for node in self.nodes if self._by_channel(node)}

    def _shares_state(self, module: nn.Module) -> bool:
        """Whether a module with parameters or buffers is called in several places."""
        return self._uses[id(module)] > 1 and any(
            True for _ in (*module.parameters(), *module.buffers())
        )

    def called(self, node: torch.fx.Node) -> nn.Module | None:
        """The module that a node calls."""
        return self.module.get_submodule(str(node.target)) if node.op == "call_module" else None

    def shape(self, node: torch.fx.Node) -> tuple[int, ...] | None:
        """The shape of a node's output for a batch of 2; None where it is no tensor."""
        meta: Any = node.meta.get("tensor_meta")
        return tuple(meta.shape) if hasattr(meta, "shape") else None

    def channels(self, node: torch.fx.Node) -> int:
        """Entries on axis 1; 0 where the output is neither (B, n) nor (B, C, h, w)."""
        shape = self.shape(node) or ()
        return shape[1] if len(shape) in (2, 4) else 0

    def is_layer(self, node: torch.fx.Node) -> bool:
        """Whether the node is the only use of an ungrouped convolution, or of a linear layer on
        vectors."""
        return node in self._layers

    def is_channelwise(self, node: torch.fx.Node) -> bool:
        """Whether each channel of the output depends on the same channel of the only input."""
        return node in self._channelwise

    def _layer(self, node: torch.fx.Node) -> bool:
        module = self.called(node)
        if (
            module is None
            or type(module) not in (nn.Conv2d, nn.Linear)
            or self._shares_state(module)
            or self.channels(node) == 0
        ):
            return False
        return (
            module.groups == 1
            if isinstance(module, nn.Conv2d)
            else len(self.shape(node) or ()) == 2
        )

    def _by_channel(self, node: torch.fx.Node) -> bool:
        if (
            self.channels(node) == 0
            or len(node.all_input_nodes) != 1
            or self.channels(node) != self.channels(node.all_input_nodes[0])
        ):
            return False
        if node.op == "call_function":
            return node.target in _CHANNELWISE_FUNCTIONS
        module = self.called(node)
        if module is None:
            return node.op == "call_method" and node.target in (
                "relu",
                "sigmoid",
                "tanh",
                "contiguous",
            )
        if self._shares_state(module):
            return False
        return isinstance(module, _CHANNELWISE_MODULES) or (
            type(module) is nn.Conv2d and module.groups == module.in_channels == module.out_channels
        )

    def flattened(self, node: torch.fx.Node) -> Tensor | None:
        """For a node that flattens (B, C, h, w) to (B, n): the channel (n,) that each entry comes
        from; otherwise None."""
        if len(node.all_input_nodes) != 1:
            return None
        before, after = self.shape(node.all_input_nodes[0]), self.shape(node)
        if before is None or after is None or len(before) != 4 or len(after) != 2:
            return None
        pixels = before[2] * before[3]
        module = self.called(node)
        if isinstance(module, FlattenPixels):
            return torch.arange(before[1]).repeat(pixels)
        if isinstance(module, nn.Flatten) or node.target in (torch.flatten, "flatten"):
            return torch.arange(before[1]).repeat_interleave(pixels)
        return None
