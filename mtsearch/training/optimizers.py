"""Construction of optimisers, and their parameter groups."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from mtsearch.config.optimisation import (
    AdadeltaConfig,
    AdagradConfig,
    AdamConfig,
    AdamWConfig,
    SGDConfig,
)
from mtsearch.models.grouped import PART
from mtsearch.models.own import OWN


def scaled_groups(
    named: Iterable[tuple[str, nn.Parameter]],
    multipliers: Mapping[str, float],
    others: Sequence[nn.Parameter] = (),
) -> list[dict[str, Any]]:
    """Return parameter groups for an optimiser; the entry `scale` of a group is the multiplier of
    its learning rate.

    Args:
        named: the parameters with their names in the network, whose direct children (trunk, heads,
            ...) are its parts.
        multipliers: multipliers by part; 1 for parts that are not named.
        others: further parameters, with multiplier 1.
    """
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in named:
        groups.setdefault(multipliers.get(part_of(name), 1.0), []).append(parameter)
    groups.setdefault(1.0, []).extend(others)
    return [
        {"params": parameters, "scale": scale} for scale, parameters in groups.items() if parameters
    ]


def part_of(name: str) -> str:
    """Return the part of the network to which a parameter belongs; the networks of several groups
    of tasks have the same parts, and a network of the user's own has those of its module."""
    first, *rest = name.removeprefix(f"{OWN}.").split(".")
    return rest[1] if first == PART and len(rest) > 1 else first


def build_optimizer(config: Any, parameters: Iterable[nn.Parameter | dict[str, Any]]) -> Optimizer:
    """Build a torch optimiser over the parameters. It is fused (one kernel per step, on CPU and
    GPU), except Adadelta, which torch does not fuse. Parameters without a gradient do not
    change."""
    _keep_compiler_unloaded()
    settings = config.model_dump(exclude={"name"})
    classes: dict[type, Any] = {
        AdamConfig: torch.optim.Adam,
        AdamWConfig: torch.optim.AdamW,
        SGDConfig: torch.optim.SGD,
        AdagradConfig: torch.optim.Adagrad,
        AdadeltaConfig: torch.optim.Adadelta,
    }
    fused = {} if isinstance(config, AdadeltaConfig) else {"fused": True}
    optimizer: Optimizer = classes[type(config)](list(parameters), **settings, **fused)
    if settings.get("momentum"):
        # The fused kernel fails if only some parameters have a momentum buffer. A zero buffer has
        # the same effect as none.
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def _keep_compiler_unloaded() -> None:
    """Prevent that the methods of optimisers import torch's compiler, which takes a second and 150
    MB in each process. Torch imports it at their first call, to exclude them from compiled regions;
    no region that `trial.compile` compiles contains an optimiser."""
    for name in ("add_param_group", "state_dict", "load_state_dict", "zero_grad"):
        method = getattr(getattr(Optimizer, name), "__wrapped__", None)
        # torch's own entry for the method outside of compiled regions; other versions have none
        if method is not None and not hasattr(method, "__dynamo_disable"):
            setattr(method, "__dynamo_disable", method)


def update_(optimizer: Optimizer) -> None:
    """Update the parameters as `optimizer.step()`, without its hooks: the wrappers of that method
    import torch's compiler, too."""
    with torch.no_grad():
        inspect.unwrap(type(optimizer).step)(optimizer)


def match_layouts_(parameters: Iterable[nn.Parameter]) -> None:
    """Copy each gradient to the strides of its parameter. Torch's fused kernels iterate over the
    memory of both, so that a contiguous gradient of a channels-last weight would be applied to the
    wrong entries."""
    for parameter in parameters:
        gradient = parameter.grad
        if gradient is not None and gradient.stride() != parameter.stride():
            parameter.grad = torch.empty_like(parameter).copy_(gradient)


def load_optimizer(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Load a state dict and copy each moment to the memory format of its parameter, so that the
    next step is bit-identical."""
    optimizer.load_state_dict(state)
    for parameter, moments in optimizer.state.items():
        for name, value in moments.items():
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                moments[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
