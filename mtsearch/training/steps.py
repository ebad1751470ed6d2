"""One optimiser step: losses of a group of tasks, one balanced backward pass, one update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

from mtsearch.balancing import Balancing, Step
from mtsearch.balancing.schedules import Group
from mtsearch.config.cards import TaskCard
from mtsearch.models import MultiTaskModel
from mtsearch.tasks import task_loss
from mtsearch.training.streams import Batch


class Stepper:
    """Trains a model step by step.

    Args:
        model: the network, in training mode.
        tasks: all tasks of the trial.
        balancing: what makes one update of several losses.
        optimizer: over the model's parameters and the balancing's own.
        clip: the largest norm of the gradient, if any.
        autocast: the type of mixed precision, if any.
        idle: what a step does to parameters that it gives no gradient: `frozen` leaves them, `drift` lets the optimiser go on with those
            that had a gradient before as if it were zero, which is what clearing gradients to zero did before torch 2.
    """

    def __init__(
        self,
        model: MultiTaskModel,
        tasks: Sequence[TaskCard],
        balancing: Balancing,
        optimizer: Optimizer,
        clip: float | None,
        autocast: torch.dtype | None,
        idle: Literal["frozen", "drift"] = "frozen",
    ) -> None:
        self._model, self._tasks, self._balancing, self._optimizer = model, tasks, balancing, optimizer
        self._clip, self._autocast, self._frozen = clip, autocast, idle == "frozen"
        self._parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self._shared = model.shared_parameters() if balancing.level != "loss" else []
        optimizer.zero_grad(set_to_none=True)
        self._looks_back = type(balancing).after_step is not Balancing.after_step

    def step(self, parts: Sequence[tuple[Group, Batch]], penalty: float) -> tuple[Tensor, Tensor]:
        """One update on one batch of each pool of a group; returns the sums of the losses and the numbers of labels, (k,) each, of the
        group's tasks in order."""
        split = self._balancing.level == "feature"
        sums, counts, losses = {}, {}, {}
        shared: list[Tensor] = []
        read: list[Tensor] = []
        for members, (images, labels) in parts:
            names = [self._tasks[k].name for k in members]
            with self._cast(images):
                features = self._model.share(images, names)
                leaves = [f.detach().requires_grad_() for f in features] if split else features
                outputs = self._model.decode(images, leaves, names)
                extra = self._model.extra_losses(images, leaves, names)
            for k, name in zip(members, names, strict=True):
                sums[k], counts[k] = task_loss(self._tasks[k], outputs[name], labels[name])
                losses[k] = sums[k] / counts[k].clamp(min=1)
                if name in extra:
                    losses[k] = losses[k] + extra[name]
            shared, read = shared + features, read + leaves
        group = tuple(sorted(losses))
        terms = [losses[k] for k in group]
        step = Step(torch.stack(terms), group, shared, read, self._shared, penalty, terms)
        self._optimizer.zero_grad(set_to_none=self._frozen)
        self._balancing.backward(step)
        if self._clip is not None:
            torch.nn.utils.clip_grad_norm_(self._parameters, self._clip)
        self._optimizer.step()
        if self._looks_back:
            self._balancing.after_step(lambda: self._again(parts))
        return torch.stack([sums[k] for k in group]).detach(), torch.stack([counts[k] for k in group])

    def state_dict(self) -> dict[str, Any]:
        """Which parameters drift when they are idle, by place in the optimiser."""
        return {"drifting": [] if self._frozen else [place for place, p in enumerate(self._parameters) if p.grad is not None]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state."""
        for place in state["drifting"]:
            self._parameters[place].grad = torch.zeros_like(self._parameters[place])

    @torch.no_grad()
    def _again(self, parts: Sequence[tuple[Group, Batch]]) -> Tensor:
        """The losses of the step's batch once more, (k,); the model's buffers stay as they were."""
        buffers = [buffer.clone() for buffer in self._model.buffers()]
        losses = {}
        for members, (images, labels) in parts:
            names = [self._tasks[k].name for k in members]
            with self._cast(images):
                features = self._model.share(images, names)
                outputs = self._model.decode(images, features, names)
                extra = self._model.extra_losses(images, features, names)
            for k, name in zip(members, names, strict=True):
                total, count = task_loss(self._tasks[k], outputs[name], labels[name])
                losses[k] = total / count.clamp(min=1) + extra.get(name, 0.0)
        for buffer, before in zip(self._model.buffers(), buffers, strict=True):
            buffer.copy_(before)
        return torch.stack([losses[k] for k in sorted(losses)])

    def _cast(self, images: Tensor) -> torch.autocast:
        return torch.autocast(images.device.type, dtype=self._autocast, enabled=self._autocast is not None)
