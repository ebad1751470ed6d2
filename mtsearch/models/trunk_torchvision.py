"""Backbones from the classification networks of torchvision, without their last layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.fx
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torch.fx.passes.shape_prop import ShapeProp
from torchvision.ops.misc import Permute

from mtsearch.config import schema
from mtsearch.config.errors import BadInput, nearest
from mtsearch.models.base import Backbone, Branch, Need
from mtsearch.models.monitor import small_monitor
from mtsearch.models.weights import load_weights

_CLASSES = 1000  # torchvision's default; the layer with this many outputs is the last one


class NetworkBranch(Branch):
    """A torchvision network without its last layer. The feature map is the input of its last global
    pooling.

    Args:
        network: the network without its last layer.
        needs: the outputs of `forward`, in this order.
        grey: whether images have one channel, which is repeated to three.
        ends: the names of the graph's nodes that end a stage.
    """

    def __init__(
        self,
        network: nn.Module,
        needs: Sequence[Need],
        grey: bool = False,
        ends: Sequence[str] = (),
    ) -> None:
        nn.Module.__init__(self)
        self.grey = grey
        self.needs = tuple(needs)
        self.extracts = any(need != "vector" for need in needs)
        self.network = _extractor(network, needs, ends) if self.extracts else network

    def forward(self, images: Tensor) -> list[Tensor]:
        if self.grey:
            images = images.expand(-1, 3, -1, -1)
        out = self.network(images)
        return list(out) if self.extracts else [out.flatten(1)]


def network(settings: schema.BackboneTorchvisionConfig, shape: tuple[int, int, int]) -> Backbone:
    """Build a backbone whose trunk is `settings.model` without its last layer.

    The weights are loaded from `settings.weights`, a local state dict, or are random. Nothing is
    downloaded. Grey images are repeated to three channels. A monitor is two small convolutions and
    a linear layer to the width of the trunk.

    Raises:
        BadInput: the model is unknown, does not support the images, or does not fit the weights.
    """
    if shape[0] not in (1, 3):
        raise BadInput(
            "`trial.backbone: torchvision` needs images of 1 or 3 channels. Found"
            f" {shape[0]}. Choose another backbone."
        )
    state = load_weights(settings.weights) if settings.weights is not None else None
    width, ends = _probe(settings.model, shape)
    stages = tuple(ends.values())
    map_shape = stages[-1] if stages else None

    def trunk(needs: Sequence[Need]) -> Branch:
        net, last = _headless(settings.model, shape)
        if state is not None:
            kept = {key: value for key, value in state.items() if not key.startswith(f"{last}.")}
            try:
                net.load_state_dict(kept)
            except RuntimeError as error:
                reason = " ".join(str(error).split())[:300]
                raise BadInput(
                    "`trial.backbone.weights` does not fit the torchvision network"
                    f" `{settings.model}`. Found {settings.weights}: {reason}"
                ) from error
        return NetworkBranch(net, needs, grey=shape[0] == 1, ends=tuple(ends))

    def monitor(needs: Sequence[Need]) -> Branch:
        return small_monitor(shape, width, map_shape, needs)

    return Backbone(trunk, monitor, width, map_shape, shape, stages)


def _headless(name: str, shape: tuple[int, int, int]) -> tuple[nn.Module, str]:
    """Return the network without its last layer, and the name of that layer."""
    names = torchvision.models.list_models(module=torchvision.models)
    if name not in names:
        raise BadInput(
            "`trial.backbone.model` should be a classification network of torchvision. Found"
            f" `{name}`. {nearest(name, names)}"
        )
    options: dict[str, Any] = {}
    if name.startswith("vit"):
        options["image_size"] = shape[1]
    elif name == "maxvit_t":
        options["input_size"] = shape[1:]
    elif name in ("googlenet", "inception_v3"):
        options.update(aux_logits=False, init_weights=True)
    net = torchvision.models.get_model(name, weights=None, num_classes=_CLASSES, **options)
    last = ""
    for path, module in net.named_modules():
        outputs = (
            getattr(module, "out_features", None)
            if isinstance(module, nn.Linear)
            else getattr(module, "out_channels", None)
        )
        last = path if outputs == _CLASSES and isinstance(module, nn.Linear | nn.Conv2d) else last
    parent, _, leaf = last.rpartition(".")
    setattr(net.get_submodule(parent), leaf, nn.Identity())
    return net, last


def _probe(name: str, shape: tuple[int, int, int]) -> tuple[int, dict[str, tuple[int, int, int]]]:
    """Return the width of the feature vector and the stages (see `_ends`), without allocating
    memory or drawing random numbers."""
    try:
        net = _unallocated(name, shape).eval()
        with torch.device("meta"):
            images = torch.zeros((2, 3, *shape[1:]))
            width = net(images).flatten(1).shape[1]
            module = torch.fx.GraphModule(net, _Shallow().trace(net))
            ShapeProp(module).propagate(images)
        return width, _ends(net, module.graph)
    except (RuntimeError, ValueError, AssertionError) as error:
        if isinstance(error, BadInput):
            raise
        reason = " ".join(str(error).split())[:200]
        raise BadInput(
            f"`trial.backbone.model: {name}` does not support images of {shape[1]} x {shape[2]}"
            f" pixels: {reason}"
        ) from error


def _unallocated(name: str, shape: tuple[int, int, int]) -> nn.Module:
    """Return the network without its last layer on the meta device. The state of the random
    generator does not change."""
    try:
        with torch.device("meta"):
            return _headless(name, shape)[0]
    except NotImplementedError:  # some constructors (RegNet's) compute their widths with tensors
        with torch.random.fork_rng(devices=[]):
            return _headless(name, shape)[0].to("meta")


class _Shallow(torch.fx.Tracer):
    """Traces only the network's own forward and its `nn.Sequential` containers. Blocks stay
    modules, so that training and evaluation mode keep their effect."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return not isinstance(m, nn.Sequential)


def _pooled(net: nn.Module, graph: torch.fx.Graph) -> torch.fx.Node | None:
    """Return the input of the last global pooling; None if there is none (vision transformers)."""
    for node in reversed(graph.nodes):
        module = net.get_submodule(str(node.target)) if node.op == "call_module" else None
        if isinstance(module, nn.AdaptiveAvgPool2d) or node.target in (
            F.adaptive_avg_pool2d,
            "mean",
        ):
            return node.args[0]  # type: ignore[return-value]
    return None


def _ends(net: nn.Module, graph: torch.fx.Graph) -> dict[str, tuple[int, int, int]]:
    """Return the shape of each stage's map by the name of the node that ends the stage; empty
    without a global pooling. The nodes of the graph have known shapes.

    A stage ends before a layer that at least halves the area of the map. Only nodes that lie on
    every path to the global pooling are considered.
    """
    node, ends, area = _pooled(net, graph), {}, 0.0
    while node is not None and len(node.meta["tensor_meta"].shape) == 4:
        _, channels, height, width = node.meta["tensor_meta"].shape
        if node.op == "placeholder":
            break
        if height * width >= 2 * area:
            ends[node.name] = (channels, height, width)
        area = height * width
        called = net.get_submodule(str(node.target)) if node.op == "call_module" else None
        # before a Permute the channels are the last axis
        single = len(node.all_input_nodes) == 1 and not isinstance(called, Permute)
        node = node.all_input_nodes[0] if single else None
    return dict(reversed(ends.items()))


def _extractor(net: nn.Module, needs: Sequence[Need], ends: Sequence[str]) -> nn.Module:
    """Return the network with the needed features as its outputs, in order, and without unused
    layers."""
    graph = _Shallow().trace(net)
    output = next(node for node in graph.nodes if node.op == "output")
    with graph.inserting_before(output):
        vector = graph.call_method("flatten", (output.args[0], 1))
    named = {node.name: node for node in graph.nodes}
    features = {
        "map": [named[end] for end in ends[-1:]],
        "stages": [named[end] for end in ends],
        "vector": [vector],
    }
    output.args = (tuple(node for need in needs for node in features[need]),)
    module = torch.fx.GraphModule(net, graph)
    module.graph.eliminate_dead_code()
    module.recompile()
    module.delete_all_unused_submodules()
    return module
