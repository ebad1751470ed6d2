"""Training of the epochs of one phase: steps in the order of the task schedule, learning rates,
sparsification and the weight average."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from mtsearch.balancing import Balancing
from mtsearch.balancing.schedules import Group, TaskSchedule
from mtsearch.config.cards import TaskCard
from mtsearch.config.schema import TrialConfig
from mtsearch.config.sparsity import SparsityRuleConfig
from mtsearch.models import MultiTaskModel
from mtsearch.sparsity import Pruning, Sparsifier
from mtsearch.training.ema import Average
from mtsearch.training.loaders import GroupLoader
from mtsearch.training.optimizers import build_optimizer, load_optimizer, scaled_groups
from mtsearch.training.phases import Phase
from mtsearch.training.preference import coefficient_of
from mtsearch.training.schedules import lr_factor
from mtsearch.training.set_steps import SetStepper, TrainedSet
from mtsearch.training.state import to_device
from mtsearch.training.steps import Stepper
from mtsearch.training.world import World, broadcast_tensors_


class Epoch(NamedTuple):
    """The result of one epoch.

    Attributes:
        losses: ``train/<task>/loss`` of the tasks that had a step: means over the labels of the
            losses at the time of their step.
        penalty: the value of the sparsity objective at the start of the epoch; 0 without one.
        lr: learning rate of the last step.
        steps: optimiser steps.
        images: training images of all ranks.
    """

    losses: dict[str, float]
    penalty: float
    lr: float
    steps: int
    images: int


class PhaseTrainer:
    """Trains the model in the epochs of one phase with a new optimiser.

    Args:
        config: the trial's configuration.
        phase: the phase.
        model: the network, with its structure tied.
        tasks: all tasks of the trial.
        balancing: combines the losses of a step.
        schedule: determines the tasks of each step.
        loader: the batches of each group of tasks.
        plan_rng: the generator of the schedule.
        average: whether to keep the moving average of `trial.ema`.
        autocast: the dtype of mixed precision; None for float32.
        device: the device of the model.
        world: the ranks that train together.
        pareto_set: the set that is trained in place of the model, which is its network.
    """

    def __init__(
        self,
        config: TrialConfig,
        phase: Phase,
        model: MultiTaskModel,
        tasks: Sequence[TaskCard],
        balancing: Balancing,
        schedule: TaskSchedule,
        loader: GroupLoader,
        plan_rng: torch.Generator,
        average: bool,
        autocast: torch.dtype | None,
        device: torch.device,
        world: World,
        pareto_set: TrainedSet | None = None,
    ) -> None:
        self._config, self._phase, self._model, self._tasks = config, phase, model, tasks
        self._schedule, self._loader, self._plan_rng = schedule, loader, plan_rng
        self._device, self._world = device, world
        self.ticks = 0  # ticks of the sparsifier in this phase
        self._columns: dict[Group, Tensor] = {}
        self._coefficient = coefficient_of(config)
        named = (
            model.named_parameters() if pareto_set is None else pareto_set.weights.named_trained()
        )
        self.optimizer = build_optimizer(
            config.optimizer, scaled_groups(named, config.lr_multipliers, balancing.parameters())
        )
        settings: dict[str, Any] = {
            "tasks": tasks,
            "balancing": balancing,
            "optimizer": self.optimizer,
            "clip": config.clip,
            "autocast": autocast,
            "idle": config.idle,
            "world": world,
            "compile": config.compile,
            "complete": loader.complete,
        }
        self._stepper = (
            Stepper(model, **settings) if pareto_set is None else SetStepper(pareto_set, **settings)
        )
        self._sparsifier: Sparsifier | None = None
        if phase.name == "search":
            steps = schedule.steps_per_epoch(loader.passes)
            self._sparsifier = Sparsifier(
                model,
                model.prunable,
                cast(SparsityRuleConfig, config.sparsity),
                total_steps=phase.epochs * steps,
                steps_per_epoch=steps,
            )
        elif phase.level is not None:
            self._sparsifier = Pruning(model, model.prunable, phase.level)
        trained = model if pareto_set is None else pareto_set.weights
        self._average = Average(trained, config.ema) if average and config.ema is not None else None
        self._trained = trained

    def read(self, loader: GroupLoader) -> None:
        """Read the next batches from a loader of the same examples."""
        self._loader = loader

    @property
    def weights(self) -> nn.Module:
        """The network or set that is evaluated and selected: the average if there is one, else the
        trained one."""
        return self._trained if self._average is None else self._average.model

    def train_epoch(self, epoch: int) -> Epoch:
        """Train one epoch with the steps of the task schedule; `epoch` counts the epochs of this
        phase from 0."""
        sums = torch.zeros(2, len(self._tasks), dtype=torch.float64, device=self._device)
        images, lr, penalty = 0, 0.0, self._penalty()
        self._model.train()
        self._loader.start_epoch()
        plan = self._schedule.epoch(self._loader.passes, self._plan_rng)
        for number, group in enumerate(plan):
            lr = self._set_lr(epoch * len(plan) + number, len(plan))
            parts = self._loader.next_batches(group)
            self._add(sums, group, self._stepper.step(parts, penalty))
            self._sparsify(epoch, number + 1, len(plan))
            if self._average is not None:
                self._average.update()
                if self._sparsifier is not None:
                    self._sparsifier.hold(cast(MultiTaskModel, self._average.model))
            images += sum(len(batch) for _, (batch, _) in parts)
        self._sparsify(epoch, 1, 1)
        averaged = () if self._average is None else self._average.model.buffers()
        broadcast_tensors_([*self._model.buffers(), *averaged], self._world)
        images = int(self._world.all_reduce_(torch.tensor(images)))
        self._world.all_reduce_(sums)
        means = (sums[0] / sums[1].clamp(min=1)).tolist()
        losses = {
            f"train/{self._tasks[k].name}/loss": means[k]
            for k, count in enumerate(sums[1].tolist())
            if count
        }
        return Epoch(losses, penalty, lr, len(plan), images)

    def _add(self, sums: Tensor, group: Group, found: tuple[Tensor, Tensor]) -> None:
        """Add the losses and label counts of a step to the columns of its tasks. The index stays on
        the device: a list would be copied there in every step, and the host would wait."""
        if group not in self._columns:
            self._columns[group] = torch.tensor(group, device=self._device)
        sums.index_add_(1, self._columns[group], torch.stack(found).double())

    def _penalty(self) -> float:
        if self._sparsifier is None or self._coefficient == 0:
            return 0.0
        return self._sparsifier.penalty()

    def _set_lr(self, step: int, steps_per_epoch: int) -> float:
        factor = lr_factor(self._config.lr_schedule, step, steps_per_epoch, self._phase.epochs)
        lr: float = self._config.optimizer.lr * factor
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group.get("scale", 1.0)
        return lr

    def _sparsify(self, epoch: int, done: int, of: int) -> None:
        """Advance the sparsifier to step `done` of `of` in this epoch. It has as many ticks per
        epoch as the schedule has steps on average."""
        if self._sparsifier is None:
            return
        ticks = self._sparsifier.steps_per_epoch
        now = epoch * ticks + done * ticks // of
        if now == self.ticks:
            self._sparsifier.hold()
        for tick in range(self.ticks + 1, now + 1):
            self._sparsifier.after_step(tick)
        self.ticks = now

    def state_dict(self) -> dict[str, Any]:
        """Return the state without those of the model, the balancing method and the loader."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "stepper": self._stepper.state_dict(),
            "sparsifier": None if self._sparsifier is None else self._sparsifier.state_dict(),
            "average": None if self._average is None else self._average.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any], ticks: int) -> None:
        """Continue from a state and a number of sparsifier ticks."""
        self.ticks = ticks
        load_optimizer(self.optimizer, to_device(state["optimizer"], self._device))
        self._stepper.load_state_dict(state["stepper"])
        if self._sparsifier is not None:
            self._sparsifier.load_state_dict(to_device(state["sparsifier"], self._device))
        if self._average is not None:
            self._average.load_state_dict(to_device(state["average"], self._device))
