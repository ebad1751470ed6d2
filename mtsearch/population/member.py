"""A member's round: from a state, K steps on its task's own data and loss, to a state and its loss
on the task's hold-out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mtsearch.balancing import build_balancing
from mtsearch.config.balancing import LinearConfig
from mtsearch.config.base import Model
from mtsearch.config.registry import methods
from mtsearch.config.schema import TrialConfig
from mtsearch.models import MultiTaskModel, build_model, lsuv_, normal_
from mtsearch.population.seeding import derive_seed, generator_of, seed_global_generators
from mtsearch.population.state import MemberState
from mtsearch.population.task import BatchSource, Task
from mtsearch.population.transfer import HEAD, check_layers
from mtsearch.training.evaluation import evaluate
from mtsearch.training.loaders import evaluation_batch_size
from mtsearch.training.optimizers import build_optimizer, load_optimizer
from mtsearch.training.randomness import fork_rng
from mtsearch.training.schedules import lr_factor
from mtsearch.training.state import to_device
from mtsearch.training.steps import Stepper

LSUV_IMAGES = 512


@dataclass(frozen=True)
class MemberResult:
    """What a round came to: the state after it and the mean loss of its training steps."""

    state: MemberState
    loss: float
    examples: int


class MemberTrainer:
    """Trains and judges any member of any task, one after another. What it does depends on its
    arguments alone, so any process may do it.

    Args:
        config: the trial's configuration.
        source: the images.
        device: where to train.
        total_steps: optimiser steps of a member in all, over which the learning-rate schedule runs.
        epoch_steps: steps of an epoch of the target, in which the schedule counts.
    """

    def __init__(
        self,
        config: TrialConfig,
        source: BatchSource,
        device: torch.device,
        total_steps: int,
        epoch_steps: int,
    ) -> None:
        self._config = config
        self._source = source
        self.device = device
        self._total, self._epoch = total_steps, epoch_steps
        self._autocast = torch.bfloat16 if config.precision == "bfloat16" else None
        self._networks: dict[tuple[Any, ...], MultiTaskModel] = {}

    # ------------------------------------------------------------ states

    def begin(self, task: Task) -> MemberState:
        """The task's initial state, from its own stream."""
        config, seed = self._config, derive_seed(self._config.seed, "init", task.key)
        with fork_rng(seed):
            model = build_model(
                config.architecture, config.backbone, [task.card], task.dataset.card.shape
            )
            if config.init == "lsuv":
                images, _ = next(
                    self._source.passing(task, task.train[:LSUV_IMAGES], LSUV_IMAGES, None)
                )
                lsuv_(model, images.cpu(), torch.Generator().manual_seed(seed))
            elif config.init == "normal":
                normal_(model)
        weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
        check_layers(config.mto, list(weights))
        return MemberState(
            to_device(weights, self.device), {}, task.optimizer.model_dump(mode="json")
        )

    def network(self, task: Task, weights: dict[str, Tensor]) -> MultiTaskModel:
        """The trainer's network for heads as the task's, with these weights in it until its next
        use."""
        key = (task.card.kind, task.card.outputs)
        if key not in self._networks:
            with fork_rng():
                model = build_model(
                    self._config.architecture,
                    self._config.backbone,
                    [task.card],
                    task.dataset.card.shape,
                )
            self._networks[key] = model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._networks[key].load_state_dict(weights)
        return self._networks[key]

    # ------------------------------------------------------------ a round

    def train(
        self,
        task: Task,
        start: MemberState,
        first: int,
        steps: int,
        lane: int = 0,
        head_only: bool = False,
    ) -> MemberResult:
        """`steps` optimiser steps of the task from step `first` (from 0). `head_only` leaves the
        other parameters as they are."""
        config = self._config
        model = self.network(task, start.model).train()
        named = dict(model.named_parameters())
        for name, parameter in named.items():
            parameter.requires_grad_(not head_only or name.startswith(HEAD))
        settings = settings_of(start.optimizer)
        optimizer = build_optimizer(settings, named.values())
        load_optimizer(optimizer, _with_moments(optimizer.state_dict(), list(named), start.moments))
        _fill_momentum(optimizer)
        stepper = Stepper(
            model,
            [task.card],
            build_balancing(LinearConfig(), torch.ones(1)),
            optimizer,
            config.clip,
            self._autocast,
        )
        total, examples = torch.zeros((), device=self.device), 0
        with fork_rng():
            for step in range(first, first + steps):
                for group in optimizer.param_groups:
                    group["lr"] = settings.lr * lr_factor(  # type: ignore[attr-defined]
                        config.lr_schedule, step, self._epoch, self._total / self._epoch
                    )
                images, labels = self._source.batch(task, step, lane)
                seed_global_generators(
                    derive_seed(config.seed, "dropout", task.key, step, lane), self.device
                )
                sums, counts = stepper.step([((0,), (images, {task.card.name: labels}))], 0.0)
                total += sums[0] / counts[0].clamp(min=1)
                examples += len(images)
        for parameter in named.values():
            parameter.requires_grad_(True)
        moments = {
            name: _moments(optimizer.state[p]) for name, p in named.items() if p in optimizer.state
        }
        weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
        return MemberResult(
            MemberState(weights, {n: m for n, m in moments.items() if m}, start.optimizer),
            (total / steps).item(),
            examples,
        )

    def loss(self, task: Task, weights: dict[str, Tensor], index: Tensor, number: int) -> float:
        """The task's mean loss on its images at `index`. With the training transform, all members
        of a task see one draw a round."""
        drawn = self._config.mto.eval_transform == "train"
        noise = generator_of(self._config.seed, "evaluate", task.key, number) if drawn else None
        return self.figures(task, weights, index, noise)["loss"]

    def figures(
        self,
        task: Task,
        weights: dict[str, Tensor],
        index: Tensor,
        noise: torch.Generator | None = None,
        by_class: bool = False,
    ) -> dict[str, float]:
        """All metrics of the task on its images at `index`; `by_class` with those of single
        classes."""
        batches = self._source.passing(task, index, evaluation_batch_size(task.dataset), noise)
        found = evaluate(
            self.network(task, weights),
            [([task.card], batches)],
            self.device,
            self._autocast,
            by_class=by_class,
        )
        return {key.removeprefix(f"{task.card.name}/"): value for key, value in found.items()}


def settings_of(values: dict[str, Any]) -> Model:
    """The settings model of an optimiser from its plain values."""
    return methods("optimizer")[values["name"]].model_validate(values)  # type: ignore[no-any-return]


def _with_moments(
    state: dict[str, Any], names: list[str], moments: dict[str, dict[str, Tensor]]
) -> dict[str, Any]:
    """An optimiser's state dict with copies of the moments, as loading keeps the tensors it is
    given."""
    found = {
        i: {key: value.clone() for key, value in moments[name].items()}
        for i, name in enumerate(names)
        if name in moments
    }
    return {**state, "state": found}


def _fill_momentum(optimizer: torch.optim.Optimizer) -> None:
    """Zero momentum where some parameters have one and others not: without dampening a first step
    from zero is the same."""
    buffers = [
        state for state in optimizer.state.values() if state.get("momentum_buffer") is not None
    ]
    if buffers:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if optimizer.state[parameter].get("momentum_buffer") is None:
                    optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def _moments(state: dict[str, Any]) -> dict[str, Tensor]:
    return {
        key: value.detach().clone() for key, value in state.items() if isinstance(value, Tensor)
    }
