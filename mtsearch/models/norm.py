"""Normalisation of a trunk that several tasks share.

If each training step has images of one task only, a batch norm trains with the statistics of that
task, but its running statistics mix those of the most recent tasks. At evaluation every task is
then normalised with the statistics of the other tasks too. The policies besides ``shared`` avoid
this:

- ``task_statistics``: each task has its own running mean and variance; weight and bias are shared.
- ``task_affine``: each task has its own batch norms, including weight and bias (Bilen & Vedaldi
  2017).
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
_MAX_GROUPS, _MIN_CHANNELS = 32, 4  # of group norm: number of groups, channels per group


class TaskNorm(nn.Module):
    """One batch norm per task; the attribute `task` selects the active one.

    Args:
        like: the batch norm whose state every task starts from, new or pretrained.
        tasks: the names of the tasks.
        affine: whether each task has its own weight and bias; else they share those of `like`.
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
        if type(norm) is not nn.BatchNorm2d:  # a synchronised batch norm
            y = norm(x) * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)  # type: ignore[union-attr]
            return y.to(x.dtype)  # type: ignore[no-any-return]
        if self.training:
            norm.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        momentum: float = norm.momentum  # type: ignore[assignment]
        mean, var, eps = norm.running_mean, norm.running_var, norm.eps
        return F.batch_norm(x, mean, var, self.weight, self.bias, self.training, momentum, eps)  # type: ignore[arg-type]


def renormalise_(trunk: nn.Module, norm: Norm, tasks: Sequence[str]) -> None:
    """Replace every batch norm of a trunk according to the policy `norm`, in place.

    Raises:
        BadInput: the trunk has no batch norm and the policy is not `shared`, or the policy is
            per task and there is only one task.
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
            f"`trial.architecture.norm` is {norm}, which needs several tasks. Found one. Leave"
            " `norm` out."
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


def set_norm_task(trunk: nn.Module, task: str) -> None:
    """Make the trunk normalise for this task in all following calls."""
    for module in trunk.modules():
        if isinstance(module, TaskNorm):
            module.task = task


def norm_parameters(trunk: nn.Module, task: str) -> list[nn.Parameter]:
    """Return the parameters of the trunk that only this task uses."""
    return [
        p
        for module in trunk.modules()
        if isinstance(module, TaskNorm)
        for p in module.norms[task].parameters()
    ]


def _grouped(norm: nn.BatchNorm2d) -> nn.GroupNorm:
    """Return a group norm for the same channels, with the largest possible number of equal groups
    that is at most 32 and leaves at least 4 channels per group."""
    channels = norm.num_features
    groups = max(
        g
        for g in range(1, _MAX_GROUPS + 1)
        if channels % g == 0 and (channels // g >= _MIN_CHANNELS or g == 1)
    )
    return nn.GroupNorm(groups, channels, eps=norm.eps)
