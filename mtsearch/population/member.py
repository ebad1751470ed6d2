"""Training and evaluation of one member: K steps from a given state on the data and loss of its
task, and the loss on the hold-out of the task."""

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
    """The result of a round: the state after it, the mean loss of its training steps, and the
    number of training images."""

    state: MemberState
    loss: float
    examples: int


class MemberTrainer:
    """Trains and evaluates the members of all tasks, one after another. The results depend only on
    the arguments, so that any process can compute them.

    Args:
        config: the trial's configuration.
        source: the batches of the tasks.
        device: the device on which to train.
        total_steps: total number of steps of a member, the length of the learning-rate schedule.
        epoch_steps: steps of an epoch of the target, the unit of the learning-rate schedule.
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

    def initial_state(self, task: Task) -> MemberState:
        """Return the initial state of a task, from its own random stream."""
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
        """Return the network for the head of this task, with `weights` loaded. Tasks with equal
        heads share one network, so that the next call replaces the weights."""
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
        """Train a member of a task.

        Args:
            task: the task.
            start: the state from which to train.
            first: the number of the first step, from 0.
            steps: the number of steps.
            lane: the random stream of the batches (see `derive_seed`).
            head_only: whether to train only the parameters of the head.
        """
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
        """Return the task's mean loss on its images at `index`. With the training transform, all
        members of a task are evaluated on the same augmented images in a round."""
        drawn = self._config.mto.eval_transform == "train"
        noise = generator_of(self._config.seed, "evaluate", task.key, number) if drawn else None
        return self.metrics(task, weights, index, noise)["loss"]

    def metrics(
        self,
        task: Task,
        weights: dict[str, Tensor],
        index: Tensor,
        noise: torch.Generator | None = None,
        by_class: bool = False,
        tables: dict[str, list[list[int]]] | None = None,
    ) -> dict[str, float]:
        """Return all metrics of the task on its images at `index`, with `by_class` also those of
        single classes; `tables` receives its table of counts. The images are augmented if a
        generator `noise` is given."""
        batches = self._source.passing(task, index, evaluation_batch_size(task.dataset), noise)
        found = evaluate(
            self.network(task, weights),
            [([task.card], batches)],
            self.device,
            self._autocast,
            by_class=by_class,
            tables=tables,
        )
        return {key.removeprefix(f"{task.card.name}/"): value for key, value in found.items()}


def settings_of(values: dict[str, Any]) -> Model:
    """Return the settings model of an optimiser from its plain values."""
    return methods("optimizer")[values["name"]].model_validate(values)  # type: ignore[no-any-return]


def _with_moments(
    state: dict[str, Any], names: list[str], moments: dict[str, dict[str, Tensor]]
) -> dict[str, Any]:
    """Return an optimiser's state dict with copies of the moments, because loading a state dict
    does not copy its tensors."""
    found = {
        i: {key: value.clone() for key, value in moments[name].items()}
        for i, name in enumerate(names)
        if name in moments
    }
    return {**state, "state": found}


def _fill_momentum(optimizer: torch.optim.Optimizer) -> None:
    """Add zero momentum buffers if only some parameters have one. Without dampening, a zero buffer
    has the same effect as none."""
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
