"""One optimiser step: losses of a group of tasks, one balanced backward pass, one update."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

from mtsearch.balancing import Balancing, Step
from mtsearch.balancing.schedules import Group
from mtsearch.config.cards import TaskCard
from mtsearch.models import MultiTaskModel
from mtsearch.tasks import task_loss
from mtsearch.training.compiling import compiled
from mtsearch.training.loaders import Batch
from mtsearch.training.randomness import fork_rng
from mtsearch.training.sync_norm import has_local_norm
from mtsearch.training.world import World, all_reduce_gradients_

Features = list[Tensor]


@dataclass
class _Forward:
    """The result of a forward pass: by task the sum of the loss and of what is trained (the loss
    plus those of auxiliary outputs), the number of labels and the mean of extra losses; the
    features, and what the heads read of them."""

    sums: dict[int, Tensor] = field(default_factory=dict)
    trained: dict[int, Tensor] = field(default_factory=dict)
    counts: dict[int, Tensor] = field(default_factory=dict)
    extras: dict[int, Tensor] = field(default_factory=dict)
    shared: Features = field(default_factory=list)
    read: Features = field(default_factory=list)


class Stepper:
    """Trains a model step by step.

    Args:
        model: the network, in training mode.
        tasks: all tasks of the trial.
        balancing: what makes one update of several losses.
        optimizer: over the model's parameters and the balancing's own.
        clip: the largest norm of the gradient, if any.
        autocast: the type of mixed precision, if any.
        idle: what a step does to parameters that it gives no gradient: `frozen` leaves them,
            `drift` lets the optimiser go on with those that had a gradient before as if it were
            zero, which is what clearing gradients to zero did before torch 2.
        world: the ranks that train together, each on its share of a batch. One step has the same
            result as on the joint batch.
        compile: whether the forward pass and its gradients go through torch.compile.
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
        world: World | None = None,
        compile: bool = False,
    ) -> None:
        self._share = compiled(model.share) if compile else model.share
        self._decode = compiled(model.decode) if compile else model.decode
        self._world, self._steps = world or World(), 0
        self._model, self._tasks, self._balancing, self._optimizer = (
            model,
            tasks,
            balancing,
            optimizer,
        )
        self._clip, self._autocast, self._frozen = clip, autocast, idle == "frozen"
        self._parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self._alike = balancing.parameters()  # every rank differentiates the joint losses by them
        self._shared = model.shared_parameters() if balancing.level != "loss" else []
        optimizer.zero_grad(set_to_none=True)
        self._looks_back = type(balancing).after_step is not Balancing.after_step

    def step(self, parts: Sequence[tuple[Group, Batch]], penalty: float) -> tuple[Tensor, Tensor]:
        """One update on one batch of each pool of a group; returns the sums of the losses and the
        numbers of labels, (k,) each, of the group's tasks in order."""
        group = tuple(sorted(k for members, _ in parts for k in members))
        found = self._forward(parts)
        sums, counts = found.sums, found.counts
        losses = self._terms(parts, found)
        terms = [losses[k] for k in group]
        step = Step(
            torch.stack(terms),
            group,
            found.shared,
            found.read,
            self._shared,
            penalty,
            terms,
            self._world.all_reduce_,
        )
        self._optimizer.zero_grad(set_to_none=self._frozen)
        self._balance(step)
        all_reduce_gradients_(self._parameters, self._world, [*step.summed, *self._alike])
        if self._clip is not None:
            torch.nn.utils.clip_grad_norm_(self._parameters, self._clip)
        self._optimizer.step()
        if self._looks_back:
            self._balancing.after_step(lambda: self._again(parts))
        return torch.stack([sums[k] for k in group]).detach(), torch.stack(
            [counts[k] for k in group]
        )

    def _forward(self, parts: Sequence[tuple[Group, Batch]]) -> _Forward:
        split = self._balancing.level == "feature"
        found = _Forward()
        for members, (images, labels) in parts:
            names = [self._tasks[k].name for k in members]
            with self._cast(images), self._alone(images):
                features = self._share(images, names)
                if (
                    split and self._autocast is not None
                ):  # gradients that are compared and combined are float32
                    features = [f.float() for f in features]
                leaves = [f.detach().requires_grad_() for f in features] if split else features
                outputs = self._decode(images, leaves, names)
                extra = self._model.extra_losses(images, leaves, names)
                auxiliary_outputs = self._model.auxiliary_outputs(images, leaves, names)
            for k, name in zip(members, names, strict=True):
                found.sums[k], found.counts[k] = task_loss(
                    self._tasks[k], outputs[name], labels[name]
                )
                found.trained[k] = found.sums[k]
                for output in auxiliary_outputs.get(name, ()):
                    found.trained[k] = (
                        found.trained[k] + task_loss(self._tasks[k], output, labels[name])[0]
                    )
                if (
                    name in extra
                    # a rank without images has no mean, but gradients of the same parameters as the
                    # others
                ):
                    found.extras[k] = (
                        extra[name] if len(images) else torch.nan_to_num(extra[name]) * 0
                    )
            found.shared += features
            found.read += leaves
        return found

    def _terms(self, parts: Sequence[tuple[Group, Batch]], found: _Forward) -> dict[int, Tensor]:
        """The mean losses by task. With several ranks they have the value of all and the graph of
        one: sums over the labels of all ranks, and the extra losses, which are means over a rank's
        images, by its share of all images."""
        sums, counts, extras = found.trained, found.counts, found.extras
        order = sorted(sums)
        if self._world.size == 1:
            losses = {k: sums[k] / counts[k].clamp(min=1) for k in order}
            return {k: loss + extras[k] if k in extras else loss for k, loss in losses.items()}
        images = {k: len(batch[0]) for members, batch in parts for k in members}
        own = torch.stack(
            [
                *(counts[k].double() for k in order),
                *(counts[k].new_tensor(images[k]).double() for k in order),
            ]
        )
        labels, of = self._world.all_reduce_(own).chunk(2)
        losses = {
            k: sums[k] / labels[place].to(sums[k].dtype).clamp(min=1)
            for place, k in enumerate(order)
        }
        for place, k in enumerate(order):
            if k in extras:
                losses[k] = losses[k] + extras[k] * (images[k] / of[place]).to(extras[k].dtype)
        local = torch.stack([losses[k] for k in order]).detach()
        others = self._world.all_reduce_(local.clone()) - local
        return {k: losses[k] + other for k, other in zip(order, others, strict=True)}

    def _balance(self, step: Step) -> None:
        """The method's backward pass. Ranks draw the same random numbers, whatever their networks
        drew before."""
        self._steps += 1
        if self._world.size == 1:
            self._balancing.backward(step)
            return
        with fork_rng(self._steps):
            self._balancing.backward(step)

    @contextmanager
    def _alone(self, images: Tensor) -> Iterator[None]:
        """A rank without images has no statistics of its own to normalise with."""
        empty = not len(images) and has_local_norm(self._model)
        if empty:
            self._model.eval()
        try:
            yield
        finally:
            if empty:
                self._model.train()

    def state_dict(self) -> dict[str, Any]:
        """The number of steps, and which parameters drift when they are idle, by place in the
        optimiser."""
        return {
            "steps": self._steps,
            "drifting": (
                []
                if self._frozen
                else [place for place, p in enumerate(self._parameters) if p.grad is not None]
            ),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state."""
        self._steps = state["steps"]
        for place in state["drifting"]:
            self._parameters[place].grad = torch.zeros_like(self._parameters[place])

    @torch.no_grad()
    def _again(self, parts: Sequence[tuple[Group, Batch]]) -> Tensor:
        """The losses of the step's batch once more, (k,); the model's buffers stay as they were."""
        buffers = [buffer.clone() for buffer in self._model.buffers()]
        terms = self._terms(parts, self._forward(parts))
        for buffer, before in zip(self._model.buffers(), buffers, strict=True):
            buffer.copy_(before)
        return torch.stack([terms[k] for k in sorted(terms)])

    def _cast(self, images: Tensor) -> torch.autocast:
        return torch.autocast(
            images.device.type, dtype=self._autocast, enabled=self._autocast is not None
        )
