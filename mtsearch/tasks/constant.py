"""The error of the constant predictor, by which the errors of tasks in different units are
compared."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

import torch
from torch import Tensor

from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.config.metrics import has_values, percentages
from mtsearch.config.registry import Registry
from mtsearch.tasks.registry import meter_for

log = logging.getLogger(__name__)

CHUNK = 256  # examples that a meter reads at a time

ConstantOutput = Callable[[TaskCard, Tensor], Tensor]
"""(task, labels (N, ...)) -> the output of the network for one example that is best without an
image."""

_OUTPUTS: Registry[str, ConstantOutput] = Registry("constant predictor of the task kind")


def constant(kind: str) -> Callable[[ConstantOutput], ConstantOutput]:
    """Register the constant predictor of a task kind: ``@constant("ordinal")``. A kind without one
    predicts the most frequent class, or the mean value of each output where labels are floats."""
    return _OUTPUTS.register(kind)


@torch.inference_mode()
def constant_error(task: TaskCard, labels: Tensor) -> float:
    """Compute the `error` of the best constant prediction: the most frequent class, or the mean
    value of each output.

    Args:
        task: its card.
        labels: of a split, shape (N, ...); uint8 for images as labels.

    Returns:
        The error in the unit of the kind's `error`; NaN if nothing is labelled.
    """
    if has_values(task.kind) and labels.dtype == torch.uint8:
        labels = labels.float() / 255
    output = _OUTPUTS[task.kind](task, labels) if task.kind in _OUTPUTS else _output(task, labels)
    meter = meter_for(task, labels.device)
    for part in labels.split(CHUNK):
        meter.update(output.expand(len(part), *output.shape[1:]), part)
    return meter.compute()["error"]


def _output(task: TaskCard, labels: Tensor) -> Tensor:
    """The constant output (1, ...) for labels (N, ...)."""
    if has_values(task.kind):
        axes = tuple(axis for axis in range(labels.dim()) if axis != 1 or labels.dim() == 1)
        mean = labels.double().nanmean(axes, keepdim=True).float()
        return mean.expand(1, *labels.shape[1:])
    counted = labels[(labels != task.ignore) & (labels != _undefined(task))]
    counts = torch.bincount(counted.flatten().long(), minlength=task.outputs)
    logits = torch.zeros(task.outputs, device=labels.device)
    logits[counts.argmax()] = 1.0
    shape = (1, task.outputs, *[1] * (labels.dim() - 1))
    return logits.view(shape).expand(1, task.outputs, *labels.shape[1:])


def _undefined(task: TaskCard) -> int:
    return task.ignore if task.undefined is None else task.undefined


def unit_of_error(task: TaskCard, labels: Tensor) -> float:
    """The error that a task's errors are divided by: that of the constant predictor. It is 100 for
    a percentage and 1 for other errors where the constant predictor has the error 0 (one class,
    equal values), nothing is labelled, or the kind is a plug-in's whose outputs are neither a
    score of each class nor values, and which registers no constant predictor."""
    usual = 100.0 if percentages([task.kind]) else 1.0
    try:
        found = constant_error(task, labels)
    except (ValueError, RuntimeError, IndexError) as error:
        if task.kind in _OUTPUTS or isinstance(error, BadInput):
            raise
        log.warning(
            "The errors of `%s` are divided by %g: its kind, %s, has no constant predictor (%s)."
            " Register one with `mtsearch.tasks.constant`.",
            task.name,
            usual,
            task.kind,
            " ".join(str(error).split())[:200],
        )
        return usual
    return found if math.isfinite(found) and found > 0 else usual
