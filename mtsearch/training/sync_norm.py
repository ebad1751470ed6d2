"""Batch normalisation over the images of all ranks. (`torch.nn.SyncBatchNorm` supports GPUs
only.)"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mtsearch.training.world import World


class _Normalise(torch.autograd.Function):
    """``(x - mean) / sqrt(var + eps)`` with mean and var over the entries of a channel on all
    ranks, and its gradient.

    The variance is computed in a second pass, because sums of squares lose precision. With n
    entries in total and y the result, the gradient is ``(g - sum(g) / n - y sum(g y) / n) /
    sqrt(var + eps)``, with sums over all ranks.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, eps: float, world: World
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        axes, shape = [0, *range(2, x.dim())], [1, -1, *([1] * (x.dim() - 2))]
        count = x.numel() // x.shape[1] if len(x) else 0
        first = world.all_reduce_(torch.cat([x.sum(axes), x.new_tensor([count])]))
        total = first[-1]
        mean = first[:-1] / total
        centred = x - mean.view(shape)
        var = world.all_reduce_(centred.square().sum(axes)) / total
        inverse = (var + eps).rsqrt()
        y = centred * inverse.view(shape)
        ctx.save_for_backward(y, inverse, total)
        ctx.world = world
        ctx.mark_non_differentiable(mean, var, total)
        return y, mean, var, total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        y, inverse, total = ctx.saved_tensors
        g = gradients[0]
        axes, shape = [0, *range(2, g.dim())], [1, -1, *([1] * (g.dim() - 2))]
        sums = ctx.world.all_reduce_(torch.stack([g.sum(axes), (g * y).sum(axes)])) / total
        return (g - sums[0].view(shape) - y * sums[1].view(shape)) * inverse.view(shape), None, None


class _Synchronised:
    """Replaces the training forward of a batch norm; parameters, buffers and names do not
    change."""

    world: World

    def forward(self, x: Tensor) -> Tensor:
        norm: Any = self
        y: Tensor
        if not norm.training:
            return super().forward(x)  # type: ignore[misc, no-any-return]
        # statistics and counts are float32 in mixed precision too
        with torch.autocast(x.device.type, enabled=False):
            y, mean, var, total = _Normalise.apply(
                x.float() if x.dtype in (torch.bfloat16, torch.float16) else x, norm.eps, self.world
            )
        if norm.track_running_stats:
            with torch.no_grad():
                norm.num_batches_tracked.add_(1)
                keep = (
                    1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
                )
                norm.running_mean.lerp_(mean, keep)
                norm.running_var.lerp_(var * total / (total - 1).clamp(min=1), keep)
        if norm.affine:
            shape = [1, -1, *([1] * (x.dim() - 2))]
            y = y * norm.weight.view(shape) + norm.bias.view(shape)
        return y.to(x.dtype)


class SyncBatchNorm1d(_Synchronised, nn.BatchNorm1d):
    """`nn.BatchNorm1d` over all ranks."""


class SyncBatchNorm2d(_Synchronised, nn.BatchNorm2d):
    """`nn.BatchNorm2d` over all ranks."""


_CLASSES: dict[type, type] = {nn.BatchNorm1d: SyncBatchNorm1d, nn.BatchNorm2d: SyncBatchNorm2d}


def synchronise_(model: nn.Module, world: World) -> None:
    """Make the model's batch norms normalise over the images of all ranks, in place. With one rank
    the model does not change."""
    if world.size == 1:
        return
    for module in model.modules():
        if type(module) in _CLASSES:
            module.__class__ = _CLASSES[type(module)]
            module.world = world  # type: ignore[assignment]


def is_synchronised(module: nn.Module) -> bool:
    """Return whether a module is a batch norm over all ranks."""
    return isinstance(module, _Synchronised)


def has_local_norm(model: nn.Module) -> bool:
    """Return whether a batch norm of the model normalises over the images of its own rank only."""
    return any(
        isinstance(m, nn.modules.batchnorm._BatchNorm) and not isinstance(m, _Synchronised)
        for m in model.modules()
    )
