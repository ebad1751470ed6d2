"""Which modules of a network may be replaced by smaller ones."""

from __future__ import annotations

import copy
from collections import Counter

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

Layer = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear
BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d
_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_PLAIN = (nn.Parameter, Tensor)
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)


def is_convolution(module: nn.Module) -> bool:
    """Whether a module is one of torch's convolutions (not transposed), and no subclass."""
    return type(module) in _LAYERS[:3]


def is_depthwise(module: nn.Module) -> bool:
    """Whether each output channel of a convolution reads the same input channel only."""
    if not isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d) or not is_convolution(module):
        return False
    return 1 < module.groups == module.in_channels == module.out_channels


def is_layer(module: nn.Module) -> bool:
    """Whether a module is a linear layer or an ungrouped convolution."""
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return is_convolution(module) and module.groups == 1
    return type(module) is nn.Linear


def input_axis(module: nn.Module) -> int:
    """The axis of a layer's inputs and outputs that has the channels, from the end."""
    return -1 if isinstance(module, nn.Linear) else -1 - len(module.kernel_size)  # type: ignore[arg-type]


def copy_of(network: nn.Module) -> nn.Module:
    """A deep copy, also where modules have computed tensors as attributes (pruned weights)."""
    computed = {
        id(value): value.detach().clone()
        for module in network.modules()
        for value in vars(module).values()
        if isinstance(value, Tensor) and not value.is_leaf
    }
    return copy.deepcopy(network, computed)


def has_hooks(module: nn.Module) -> bool:
    """Whether somebody registered a hook on a module or replaced its `forward`."""
    own = vars(module)
    if "forward" in own or own.get("_compiled_call_impl") is not None:
        return True
    return any(getattr(module, name, None) for name in _HOOKS)


def candidates(network: nn.Module) -> dict[str, nn.Module]:
    """By name, the modules that may be replaced as far as the module tree shows.

    These are torch's own layers and batch norms (no subclasses) without hooks, parametrisations or
    parameters shared with another module, outside torch's composite modules, which read their
    parts' parameters.
    """
    owners = Counter(
        storage_of(value)
        for module in network.modules()
        for value in (
            *module.parameters(recurse=False),
            *module.buffers(recurse=False),
            *(v for v in vars(module).values() if isinstance(v, Tensor)),
        )
    )
    inside = {
        part
        for module in network.modules()
        if _is_composite(module)
        for part in module.modules()
        if part is not module
    }
    return {
        name: module
        for name, module in network.named_modules()
        if (is_layer(module) or is_depthwise(module) or type(module) in _NORMS)
        and module not in inside
        and not has_hooks(module)
        and not parametrize.is_parametrized(module)
        and not any(True for _ in module.children())
        and all(type(v) in _PLAIN and v.layout == torch.strided for v in module.parameters())
        and all(
            owners[storage_of(v)] == 1
            for v in (*module.parameters(), *module.buffers())
            if v.numel()
        )
    }


def _is_composite(module: nn.Module) -> bool:
    """Whether a module is one of torch's own that consists of others, or is compiled."""
    if isinstance(module, _CONTAINERS):
        return False
    return isinstance(module, torch.jit.ScriptModule) or type(module).__module__.startswith(
        ("torch.nn.modules.", "torch.ao.", "torch._dynamo", "torch.jit")
    )


def storage_of(tensor: Tensor) -> int:
    """A number that tensors sharing memory have in common."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):  # a sparse tensor has none
        return id(tensor)
