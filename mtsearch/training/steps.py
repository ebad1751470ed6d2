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
from mtsearch.data.feature_batches import Features
from mtsearch.models import MultiTaskModel
from mtsearch.tasks import task_loss
from mtsearch.training.compiling import compiled
from mtsearch.training.loaders import Batch
from mtsearch.training.optimizers import match_layouts_, update_
from mtsearch.training.randomness import fork_rng
from mtsearch.training.sync_norm import has_local_norm
from mtsearch.training.world import World, all_reduce_gradients_


@dataclass
class _Forward:
    """The results of a forward pass; dicts are by task.

    Attributes:
        sums: sum of the loss over the labels.
        trained: `sums` plus the losses of auxiliary outputs.
        counts: number of labels.
        extras: mean of the architecture's extra losses.
        shared: the shared features.
        read: the features that the heads read (see `mtsearch.balancing.Step`).
    """

    sums: dict[int, Tensor] = field(default_factory=dict)
    trained: dict[int, Tensor] = field(default_factory=dict)
    counts: dict[int, Tensor] = field(default_factory=dict)
    extras: dict[int, Tensor] = field(default_factory=dict)
    shared: list[Tensor] = field(default_factory=list)
    read: list[Tensor] = field(default_factory=list)


class Stepper:
    """Trains a model step by step.

    Args:
        model: the network, in training mode.
        tasks: all tasks of the trial.
        balancing: combines the losses of a step into one update.
        optimizer: the optimiser over the parameters of the model and of the balancing method.
        clip: largest norm of the gradient; None for no clipping.
        autocast: the dtype of mixed precision; None for float32.
        idle: the update of parameters without a gradient in a step. `frozen`: none. `drift`:
            parameters that had a gradient in an earlier step get a zero gradient, so that momentum
            and weight decay change them, as in torch before version 2.
        world: the ranks that train together, each on its share of a batch. A step has the same
            result as on the global batch.
        compile: whether to compile the forward pass and its gradients with torch.compile.
        complete: whether each batch has labels of all its tasks. If False, the labels are counted
            before each backward pass, which on a GPU waits for the forward pass.
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
        complete: bool = False,
    ) -> None:
        self._share = compiled(model.share) if compile else model.share
        self._decode = compiled(model.decode) if compile else model.decode
        self._model, self._tasks, self._balancing = model, tasks, balancing
        self._optimizer, self._clip, self._autocast = optimizer, clip, autocast
        self._frozen, self._complete = idle == "frozen", complete
        self._world, self._steps = world or World(), 0
        # what the optimiser trains, and what the losses are differentiated with respect to
        self._trained = [p for group in optimizer.param_groups for p in group["params"]]
        self._parameters = self._trained
        # every rank has the full gradient of these parameters, so that it is not summed over ranks
        self._global = balancing.parameters()
        self._shared = model.shared_parameters() if balancing.level != "loss" else []
        self._has_after_step = type(balancing).after_step is not Balancing.after_step
        optimizer.zero_grad(set_to_none=True)

    def step(self, parts: Sequence[tuple[Group, Batch]], penalty: float) -> tuple[Tensor, Tensor]:
        """Make one update on one batch of each pool of a group of tasks.

        The losses are balanced over the tasks that are present: those with a label in the global
        batch or an extra loss. If no task is present, nothing is updated.

        Args:
            parts: the tasks and the batch of each pool.
            penalty: the value of the sparsity objective.

        Returns:
            The sums of the losses and the numbers of labels, (k,) each, in the order of the tasks
            of the group.
        """
        group = tuple(sorted(k for members, _ in parts for k in members))
        found = self._forward(parts)
        losses, labels = self._losses(parts, found)
        present = self._present(group, labels, found.extras)
        if any(present):
            self._update(group, found, losses, present, penalty)
            if self._has_after_step:
                self._balancing.after_step(lambda: self._losses_after_update(parts))
        sums = torch.stack([found.sums[k] for k in group]).detach()
        return sums, torch.stack([found.counts[k] for k in group])

    def _present(
        self, group: Group, labels: Mapping[int, Tensor], extras: Mapping[int, Tensor]
    ) -> list[bool]:
        if self._complete:
            return [True] * len(group)
        counts = torch.stack([labels[k] for k in group]).tolist()
        return [count > 0 or k in extras for k, count in zip(group, counts, strict=True)]

    def _update(
        self,
        group: Group,
        found: _Forward,
        losses: Mapping[int, Tensor],
        present: list[bool],
        penalty: float,
    ) -> None:
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
            present=None if all(present) else present,
        )
        self._optimizer.zero_grad(set_to_none=self._frozen)
        self._steps += 1
        if self._world.size == 1:
            self._balancing.update(step)
        else:  # the method must draw equal random numbers on all ranks
            with fork_rng(self._steps):
                self._balancing.update(step)
        all_reduce_gradients_(self._parameters, self._world, [*step.summed, *self._global])
        self._apply()

    def _apply(self) -> None:
        """Clip the gradients and update the trained parameters."""
        match_layouts_(self._trained)
        if self._clip is not None:
            torch.nn.utils.clip_grad_norm_(self._trained, self._clip)
        update_(self._optimizer)

    def _forward(self, parts: Sequence[tuple[Group, Batch]]) -> _Forward:
        split = self._balancing.level == "feature"
        found = _Forward()
        for members, (images, labels) in parts:
            names = [self._tasks[k].name for k in members]
            with self._autocasted(images), self._eval_norm_if_empty(images):
                if isinstance(images, Features):
                    features, x = images.values, images.no_images
                else:
                    features, x = self._share(images, names), images
                if split and self._autocast is not None:
                    # gradients that are combined must be float32
                    features = [f.float() for f in features]
                leaves = [f.detach().requires_grad_() for f in features] if split else features
                outputs = self._decode(x, leaves, names)
                extra = self._model.extra_losses(x, leaves, names)
                auxiliary = self._model.auxiliary_outputs(x, leaves, names)
            for k, name in zip(members, names, strict=True):
                task = self._tasks[k]
                found.sums[k], found.counts[k] = task_loss(task, outputs[name], labels[name])
                found.trained[k] = found.sums[k]
                for output in auxiliary.get(name, ()):
                    found.trained[k] = found.trained[k] + task_loss(task, output, labels[name])[0]
                if name in extra:
                    # a rank without images has no mean, but needs gradients of the same parameters
                    found.extras[k] = (
                        extra[name] if len(images) else torch.nan_to_num(extra[name]) * 0
                    )
            found.shared += features
            found.read += leaves
        return found

    def _losses(
        self, parts: Sequence[tuple[Group, Batch]], found: _Forward
    ) -> tuple[dict[int, Tensor], Mapping[int, Tensor]]:
        """Return the mean losses and the numbers of labels in the global batch, by task.

        With several ranks a loss has the value over all ranks and the graph of its own rank: it is
        the sum over the labels of all ranks divided by their number. An extra loss, which is a mean
        over a rank's images, is weighted by the rank's share of all images.
        """
        sums, counts, extras = found.trained, found.counts, found.extras
        order = sorted(sums)
        if self._world.size == 1:
            losses = {k: sums[k] / counts[k].clamp(min=1) for k in order}
            return {
                k: loss + extras[k] if k in extras else loss for k, loss in losses.items()
            }, counts
        images = {k: len(batch[0]) for members, batch in parts for k in members}
        own = torch.stack(
            [
                *(counts[k].double() for k in order),
                *(counts[k].new_tensor(images[k]).double() for k in order),
            ]
        )
        labels, of = self._world.all_reduce_(own).chunk(2)
        losses = {
            k: sums[k] / labels[i].to(sums[k].dtype).clamp(min=1) for i, k in enumerate(order)
        }
        for i, k in enumerate(order):
            if k in extras:
                losses[k] = losses[k] + extras[k] * (images[k] / of[i]).to(extras[k].dtype)
        local = torch.stack([losses[k] for k in order]).detach()
        others = self._world.all_reduce_(local.clone()) - local
        return (
            {k: losses[k] + other for k, other in zip(order, others, strict=True)},
            dict(zip(order, labels, strict=True)),
        )

    @torch.no_grad()
    def _losses_after_update(self, parts: Sequence[tuple[Group, Batch]]) -> Tensor:
        """Return the losses (k,) of the step's batch after the update. The buffers of the model are
        restored."""
        buffers = [buffer.clone() for buffer in self._model.buffers()]
        losses, _ = self._losses(parts, self._forward(parts))
        for buffer, before in zip(self._model.buffers(), buffers, strict=True):
            buffer.copy_(before)
        return torch.stack([losses[k] for k in sorted(losses)])

    @contextmanager
    def _eval_norm_if_empty(self, images: Tensor | Features) -> Iterator[None]:
        """Use the running statistics on a rank without images, which has no batch statistics."""
        empty = not len(images) and has_local_norm(self._model)
        if empty:
            self._model.eval()
        try:
            yield
        finally:
            if empty:
                self._model.train()

    def _autocasted(self, images: Tensor | Features) -> torch.autocast:
        return torch.autocast(
            images.device.type, dtype=self._autocast, enabled=self._autocast is not None
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the number of updates and the positions in the optimiser of the parameters that
        drift when they are idle."""
        return {
            "steps": self._steps,
            "drifting": (
                []
                if self._frozen
                else [i for i, p in enumerate(self._trained) if p.grad is not None]
            ),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state."""
        self._steps = state["steps"]
        for i in state["drifting"]:
            self._trained[i].grad = torch.zeros_like(self._trained[i])
