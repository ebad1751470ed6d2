"""How a trunk that several tasks share is normalised.

A trunk that sees one task's images at a time gathers running statistics of the mixture it happened
to see last, while it was trained on each task's own: at evaluation every task is normalised with
the others' statistics too. The policies besides ``shared`` end that:

- ``task_statistics``: each task has its own running mean and variance; weight and bias are shared.
- ``task_affine``: each task has its own batch norms altogether (Bilen & Vedaldi 2017).
- ``group``: group norm (Wu & He 2018), which has no running statistics.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from mtsearch.config.architectures import Norm
from mtsearch.config.errors import BadInput

PER_TASK = ("task_statistics", "task_affine")
_GROUPS, _LEAST = 32, 4  # at most so many groups, of at least so many channels


class TaskNorm(nn.Module):
    """One batch norm a task, `task` says which one acts; with `affine` false they share the weight
    and bias of `like`.

    Every task starts from the state of `like`, be it fresh or pretrained.
    """

    def __init__(self, like: nn.BatchNorm2d, tasks: Sequence[str], affine: bool) -> None:
        super().__init__()
        self.norms = nn.ModuleDict({name: copy.deepcopy(like) for name in tasks})
        self.task = tasks[0]
        self.weight = self.bias = None
        if not affine:
            self.weight, self.bias = like.weight, like.bias
            for norm in self.norms.values():
                norm.weight = norm.bias = None  # type: ignore[assignment]
                norm.affine = False  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        norm = self.norms[self.task]
        if self.weight is None:
            return norm(x)  # type: ignore[no-any-return]
        if type(norm) is not nn.BatchNorm2d:  # it may see the images of all ranks
            y = norm(x) * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)  # type: ignore[union-attr]
            return y.to(x.dtype)  # type: ignore[no-any-return]
        if self.training:
            norm.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        momentum: float = norm.momentum  # type: ignore[assignment]
        mean, var, eps = norm.running_mean, norm.running_var, norm.eps
        return F.batch_norm(x, mean, var, self.weight, self.bias, self.training, momentum, eps)  # type: ignore[arg-type]


def renormalise_(trunk: nn.Module, norm: Norm, tasks: Sequence[str]) -> None:
    """Put the chosen policy in the place of every batch norm of a trunk, in place.

    Raises:
        BadInput: a policy other than `shared`, and no batch norm in the trunk; a policy by task,
            and one task.
    """
    if norm == "shared":
        return
    places = [
        (name, module)
        for name, module in trunk.named_modules()
        if isinstance(module, nn.BatchNorm2d)
    ]
    if not places:
        raise BadInput(
            f"`trial.architecture.norm` is {norm}, but the backbone's trunk has no batch norm."
            " Leave `norm` out or choose another backbone."
        )
    if norm in PER_TASK and len(tasks) == 1:
        raise BadInput(
            f"`trial.architecture.norm` is {norm}, but there is one task alone. Leave `norm` out."
        )
    for name, module in places:
        trunk.set_submodule(
            name,
            (
                _grouped(module)
                if norm == "group"
                else TaskNorm(module, tasks, affine=norm == "task_affine")
            ),
        )


def turn_to(trunk: nn.Module, task: str) -> None:
    """From now on the trunk normalises for this task."""
    for module in trunk.modules():
        if isinstance(module, TaskNorm):
            module.task = task


def norm_parameters(trunk: nn.Module, task: str) -> list[nn.Parameter]:
    """The trunk's parameters that this task alone uses."""
    return [
        p
        for module in trunk.modules()
        if isinstance(module, TaskNorm)
        for p in module.norms[task].parameters()
    ]


def _grouped(norm: nn.BatchNorm2d) -> nn.GroupNorm:
    """Group norm for the same channels: the most groups that divide them, are at most 32 and hold
    at least 4 channels each."""
    channels = norm.num_features
    groups = max(
        g
        for g in range(1, _GROUPS + 1)
        if channels % g == 0 and (channels // g >= _LEAST or g == 1)
    )
    return nn.GroupNorm(groups, channels, eps=norm.eps)
