"""Frozen trunks, partly trained trunks and low-rank updates (`trial.backbone.tune`)."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn.utils import parametrize

from mtsearch.config.errors import BadInput, nearest
from mtsearch.config.tuning import LastConfig, LoRAConfig, LoRASettings, Tune
from mtsearch.models.base import Branch


class LowRank(nn.Module):
    """The parametrisation W -> W + alpha / rank (B A) of a weight (outputs, inputs, ...), with A
    (rank, inputs ...) random and B (outputs, rank) zero at first (Hu et al. 2022, ICLR,
    arXiv 2106.09685, equation 3). The kernel of a convolution is a matrix (outputs, the rest)."""

    def __init__(self, weight: Tensor, settings: LoRASettings) -> None:
        super().__init__()
        rest = weight[0].numel()
        self.scale = settings.alpha / settings.rank
        self.a = nn.Parameter(weight.new_empty(settings.rank, rest))
        self.b = nn.Parameter(weight.new_zeros(len(weight), settings.rank))
        nn.init.kaiming_uniform_(self.a, math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.scale * (self.b @ self.a).view_as(weight)


def tune_(trunk: Branch, tune: Tune) -> Branch:
    """Freeze the parameters of a new trunk that are not trained, in place, and return the trunk.

    Frozen modules are marked; `MultiTaskModel.train` keeps them in evaluation mode, so that the
    running statistics of their batch norms do not change.

    Raises:
        BadInput: the trunk has no more blocks than `last`, or no layer that `targets` names.
    """
    if tune == "all":
        return trunk
    if isinstance(tune, LastConfig):
        found = blocks(trunk)
        if tune.last >= len(found):
            raise BadInput(
                f"`trial.backbone.tune.last` should be less than the {len(found)} blocks of the"
                f" trunk. Found {tune.last}. Use `tune: all` to train all of them."
            )
        trained = [module for block in found[-tune.last :] for module in block]
        kept = {module for part in trained for module in part.modules()}
        for module in trunk.modules():
            for own in (p for p in module.parameters(recurse=False) if module not in kept):
                own.requires_grad_(False)
        for module in trunk.modules():
            # a module without trained parts, such as dropout in a frozen block
            if not any(part in kept for part in module.modules()):
                module.is_frozen = True  # type: ignore[assignment]
        return trunk
    freeze_(trunk)
    if isinstance(tune, LoRAConfig):
        for layer in _targets(trunk, tune.lora.targets):
            weight: Tensor = layer.weight  # type: ignore[assignment]
            parametrize.register_parametrization(layer, "weight", LowRank(weight, tune.lora))
    return trunk


def freeze_(module: nn.Module) -> None:
    """Freeze all parameters of a module, and mark it and its parts as frozen."""
    module.requires_grad_(False)
    for part in module.modules():
        part.is_frozen = True  # type: ignore[assignment]


def freeze_parts_(model: nn.Module, multipliers: Mapping[str, float]) -> None:
    """Freeze the parts of a network whose learning rate is zero (`trial.lr_multipliers`); `model`
    is a network, one of several groups of tasks, or one with a module of the user's own."""
    for network in (getattr(model, "module", model), *getattr(model, "networks", ())):
        for part, value in multipliers.items():
            if value == 0 and hasattr(network, part):
                freeze_(getattr(network, part))


def merge_(model: nn.Module) -> None:
    """Turn weights with low-rank updates into plain weights of the same values, in place."""
    for layer in model.modules():
        if _has_update(layer):
            weight = nn.Parameter(layer.weight.detach().clone())  # type: ignore[operator]
            # not torch's remove_parametrizations, which changes the class of deep copies, too
            del layer.parametrizations
            layer.__class__ = type(layer).__bases__[0]
            layer.register_parameter("weight", weight)


def blocks(trunk: nn.Module) -> list[list[nn.Module]]:
    """Return the blocks of a trunk in their order, each a list of modules.

    Starting from the trunk, sequential containers and modules with more than half of the trunk's
    parameters are divided into their children. A normalisation belongs to the layer before it.
    """
    total = sum(p.numel() for p in trunk.parameters())
    found: list[list[nn.Module]] = []

    def divide(module: nn.Module) -> None:
        own = sum(p.numel() for p in module.parameters())
        if own == 0:
            return
        children = list(module.children())
        container = isinstance(module, nn.Sequential | nn.ModuleList)
        if children and (container or 2 * own > total):
            for child in children:
                divide(child)
        elif found and all(p.ndim < 2 for p in module.parameters()):
            found[-1].append(module)
        else:
            found.append([module])

    divide(trunk)
    return found


def _targets(trunk: nn.Module, targets: tuple[str, ...]) -> list[nn.Module]:
    """Return the layers with updates: plain linear layers and ungrouped convolutions whose name
    ends with one of the targets, or all of them."""
    layers = {
        name: module
        for name, module in trunk.named_modules()
        if type(module) in (nn.Conv2d, nn.Linear) and getattr(module, "groups", 1) == 1
    }
    for target in targets:
        if not any(f".{name}".endswith(f".{target}") for name in layers):
            raise BadInput(
                "`trial.backbone.tune.lora.targets` should name linear layers or ungrouped"
                f" convolutions of the trunk. Found `{target}`. {nearest(target, layers)}"
            )
    if not layers:
        raise BadInput(
            "`trial.backbone.tune: lora` needs linear layers or ungrouped convolutions in the"
            " trunk. Found none. Choose another backbone."
        )
    return [
        module
        for name, module in layers.items()
        if not targets or any(f".{name}".endswith(f".{target}") for target in targets)
    ]


def _has_update(layer: nn.Module) -> bool:
    if not parametrize.is_parametrized(layer, "weight"):
        return False
    return isinstance(layer.parametrizations["weight"][0], LowRank)  # type: ignore[index]
