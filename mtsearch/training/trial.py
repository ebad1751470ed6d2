"""Training of one configuration on one dataset, as an iterator over reports that can be saved and
continued bit-identically."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from mtsearch.balancing.schedules import build_schedule
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.data import Dataset
from mtsearch.models import MultiTaskModel, model_macs
from mtsearch.models.tuning import merge_
from mtsearch.sparsity import Structure, find_sharing, measures, tie_, untie_
from mtsearch.training.aggregates import error_units
from mtsearch.training.building import (
    build_loader,
    build_network,
    build_trial_balancing,
    check_built,
)
from mtsearch.training.checkpointed import CheckpointedTrial, check_finite
from mtsearch.training.compiling import clear_compiled
from mtsearch.training.epochs import PhaseTrainer
from mtsearch.training.evaluation import evaluate
from mtsearch.training.features import with_features
from mtsearch.training.lineage import ParentCheckpoint, parent_weights
from mtsearch.training.loaders import GroupLoader, Parts, evaluation_parts, labelled_batches
from mtsearch.training.phases import Phase, plan, unmet_targets
from mtsearch.training.randomness import fork_rng
from mtsearch.training.selection import Selection
from mtsearch.training.set_steps import TrainedSet
from mtsearch.training.state import to_device
from mtsearch.training.teachers import teacher_config, teacher_step
from mtsearch.training.world import World, all_gather_bytes

Tables = dict[str, list[list[int]]] | None
DUAL_IMAGES = 1024  # training images on which the losses for `end_of_epoch` are measured


class Trial(CheckpointedTrial):
    """Trains one configuration; each `next` trains up to the next report and returns it.

    A report has the entries ``report`` (from 1), ``phase``, ``epoch`` (from 1, over all phases),
    ``lr``, ``train/<task>/loss``, ``val/<task>/...``, ``val/mean/error`` and its siblings,
    ``model/...`` and ``cost/...``. On CPUs, equal configuration, data, versions and thread count
    give bit-identical reports, also after `state_dict` and `load_state_dict`.

    Args:
        config: the configuration.
        data: the dataset and its location.
        world: the ranks that train this trial together; None for one process.
        clock: returns seconds, for ``cost/seconds``.

    Raises:
        BadInput: the configuration cannot train on this dataset.
    """

    _average_all = False  # whether `trial.ema` serves all phases, not the last alone

    def __init__(
        self,
        config: TrialConfig,
        data: DataConfig,
        world: World | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        super().__init__(config, data, world, clock)
        self._autocast = torch.bfloat16 if config.precision == "bfloat16" else None
        self.tasks = self.dataset.card.tasks
        self.phases: list[Phase] = plan(config)
        self._units = error_units(self.dataset, self.tasks)
        self._selection = Selection(config, self.tasks, self._units)  # of the current phase
        self._phase, self._epoch, self._lr = 0, 0, 0.0
        self._seconds, self._steps, self._examples = 0.0, 0, 0
        self._structure: Structure | None = None
        self._pareto_set: TrainedSet | None = None
        self.parent_checkpoint: ParentCheckpoint | None = None  # None: the parent is trained again
        self._first_weights: dict[str, Tensor] | None = None  # the parent's
        # metrics of the teachers and of the search phase, repeated in every later report
        self._carried_metrics: dict[str, float] = {}
        self._schedule = build_schedule(config.task_schedule, [task.name for task in self.tasks])
        self._plan_rng = torch.Generator().manual_seed(config.seed)
        with fork_rng(config.seed):
            self.model = self._new_network()
            if self.world.rank:  # dropout must be independent between ranks
                torch.manual_seed((self.world.rank << 32) ^ config.seed)
            self._rng = torch.get_rng_state()
        self._input: Dataset | None = None  # of training and validation, known at the first step
        self._loader = self._new_loader(self.dataset)
        self._rngs = all_gather_bytes(self._rng, self.world)
        self._balancing = build_trial_balancing(config, self.dataset, self.device)
        built = (self._schedule, self._balancing, self.model, self._loader, self.device)
        check_built(config, self.dataset, *built)
        self._val = self._parts("val")
        teachers = teacher_config(config)
        self._teachers = None if teachers is None else Trial(teachers, data, self.world, clock)
        self._trainer = self._phase_trainer()

    # ------------------------------------------------------------ iteration

    def __next__(self) -> dict[str, Any]:
        """Train up to the next report.

        Raises:
            StopIteration: all phases are finished.
            Diverged: a loss or metric is not finite.
        """
        if self.finished:
            raise StopIteration
        if self.config.start is not None and not self.reports and self._first_weights is None:
            self._begin_with_parent()
        if self._input is None:
            self._use_features()
        phase = self.phases[self._phase]
        until = min(self._epoch + self.config.report_every, phase.epochs)
        with fork_rng(state=self._rng):
            start = self._clock()
            losses: dict[str, float] = {}
            if phase.name == "teach":
                self._train_teachers()
            while self._epoch < until:
                losses = self._train_epoch()
                self._epoch += 1
            self._seconds += self._clock() - start
            report = self._report(phase, losses)
            self._rng = torch.get_rng_state()
        self._rngs = all_gather_bytes(self._rng, self.world)
        self.reports.append(report)
        if self._epoch == phase.epochs and self._phase + 1 < len(self.phases):
            self._next_phase()
        return dict(report)

    @property
    def finished(self) -> bool:
        """Whether all phases are finished."""
        return self._phase == len(self.phases) - 1 and self._epoch >= self.phases[-1].epochs

    @property
    def total_epochs(self) -> int:
        """Epochs of all phases."""
        return sum(phase.epochs for phase in self.phases)

    @property
    def selected(self) -> dict[str, Any]:
        """The report that represents the trial in result tables: the best one by `trial.select` in
        the last phase that was reached; the earliest one wins ties. Raises RuntimeError before the
        first report."""
        return self.best()

    def best(self, of: str | None = None) -> dict[str, Any]:
        """Return the selected report.

        Args:
            of: the task whose best report is returned; None for the selected report of the trial.

        Raises:
            RuntimeError: there is no report yet.
            BadInput: the trial does not keep the best reports of single tasks.
        """
        return dict(self.reports[self._selection.best(of)["report"] - 1])

    # ------------------------------------------------------------ phases and epochs

    def _new_network(self) -> MultiTaskModel:
        """Return the network of the training steps, initialised with torch's global generators."""
        return self._initialised(self.config)

    def _initialised(self, config: TrialConfig) -> MultiTaskModel:
        """Return a new network, with the weights of the parent once they are known."""
        model = build_network(config, self.dataset, self.device, self.world)
        if self._first_weights is not None:
            model.load_state_dict(self._first_weights)
        return model

    def _begin_with_parent(self) -> None:
        """Begin with the weights of the parent, before the first step."""
        self._first_weights = parent_weights(self)
        with fork_rng(self.config.seed):
            self.model = self._new_network()
        self._trainer = self._phase_trainer()

    def _use_features(self) -> None:
        """Train on features of frozen trunks in place of images if possible."""
        self._input = with_features(self.config, self.data, self.dataset, self.model, self.device)
        if self._input is not self.dataset:
            state = self._loader.state_dict()
            self._loader = self._new_loader(self._input)
            self._loader.load_state_dict(state)
            self._trainer.read(self._loader)
            self._val = self._parts("val")

    def _new_loader(self, data: Dataset) -> GroupLoader:
        return build_loader(self.config, data, self._schedule, self.device, self.world)

    def _phase_trainer(self) -> PhaseTrainer:
        """Return the trainer of the current phase, after tying the structure of the model."""
        if self._structure is not None:
            tie_(self.model, self._structure)
        if self._teachers is not None and self._teachers.finished:
            self.model.set_teachers(self._teachers.selected_model())  # type: ignore[operator]
        return PhaseTrainer(
            self.config,
            self.phases[self._phase],
            self.model,
            self.tasks,
            self._balancing,
            self._schedule,
            self._loader,
            self._plan_rng,
            self._average_all or self._phase == len(self.phases) - 1,
            self._autocast,
            self.device,
            self.world,
            self._pareto_set,
        )

    def _next_phase(self) -> None:
        """Start the next phase with a new optimiser and balancing method. Retraining starts from
        the selected weights of the search phase and keeps their structure."""
        config = self.config
        self._phase, self._epoch, self._lr = self._phase + 1, 0, 0.0
        if self.phases[self._phase].name == "retrain":
            self.model.load_state_dict(self._selection.best()["model"])
            self._structure = find_sharing(
                self.model, self.model.prunable, config.sparsity.sharing, config.seed
            )
            self._carried_metrics |= unmet_targets(self.model, config.sparsity, self._structure)
        self._balancing = build_trial_balancing(config, self.dataset, self.device)
        self._trainer = self._phase_trainer()

    def _train_teachers(self) -> None:
        assert self._teachers is not None  # this phase exists only with teachers
        found = teacher_step(self._teachers)
        self._epoch, self._lr, self._steps, self._examples, self._carried_metrics = found

    def _train_epoch(self) -> dict[str, float]:
        """Train one epoch and update the balancing method; return ``train/<task>/loss``."""
        found = self._trainer.train_epoch(self._epoch)
        self._lr = found.lr
        self._steps += found.steps
        self._examples += found.images
        if self._balancing.due(self._epoch + 1):
            metrics = self._evaluated(self.model, self._parts("train", DUAL_IMAGES))
            losses = [metrics[f"{task.name}/loss"] for task in self.tasks]
            self._balancing.end_of_epoch(
                self._epoch + 1, torch.tensor(losses, device=self.device), found.penalty
            )
        return found.losses

    # ------------------------------------------------------------ reports

    def _parts(self, split: str, first: int | None = None) -> Parts:
        data = self._input or self.dataset
        return evaluation_parts(data, data.splits[split], self.tasks, self.device, first)

    def _evaluated(
        self, model: MultiTaskModel, parts: Parts, by_class: bool = False, tables: Tables = None
    ) -> dict[str, float]:
        return evaluate(model, parts, self.device, self._autocast, self.world, by_class, tables)

    def _report(self, phase: Phase, losses: dict[str, float]) -> dict[str, Any]:
        epoch = sum(p.epochs for p in self.phases[: self._phase]) + self._epoch
        weights = self._trainer.weights
        network = self._represented(weights)
        report: dict[str, Any] = {
            "report": len(self.reports) + 1,
            "phase": phase.name,
            "epoch": epoch,
            "lr": self._lr,
            **losses,
        }
        metrics = self._evaluated(network, self._val)
        metrics |= self._units.aggregates(metrics)
        report |= {f"val/{key}": value for key, value in metrics.items()}
        check_finite(report, f"at epoch {epoch}")
        report |= measures(network)
        report |= self._carried_metrics
        report["model/macs"] = model_macs(network, self.dataset.card.shape, skip_zero_rows=True)
        report |= {
            "cost/seconds": self._seconds,
            "cost/steps": self._steps,
            "cost/examples": self._examples,
        }
        if all(earlier["phase"] != phase.name for earlier in self.reports):
            # until the first report of a phase, the selected weights are those of the previous one
            self._selection.clear()
        self._selection.consider(phase.name, report, weights)
        return report

    def _represented(self, weights: nn.Module) -> MultiTaskModel:
        """Return the network whose metrics a report has."""
        return cast(MultiTaskModel, weights)

    # ------------------------------------------------------------ the selected model

    def selected_model(self, of: str | None = None) -> MultiTaskModel:
        """Return the network of the selected report, in eval mode and with plain weights: tied
        rows and low-rank updates are merged.

        Args:
            of: the task whose best network is returned; None for the selected one of the trial.

        Raises:
            RuntimeError: there is no report yet.
            BadInput: the trial does not keep the best weights of single tasks.
        """
        model = self._uninitialised_model()
        # the weights have tied rows from the first report of the retraining phase on
        if self._structure is not None and self.best(of)["phase"] == "retrain":
            tie_(model, self._structure)
        model.load_state_dict(self._selection.best(of)["model"])
        untie_(model)
        merge_(model)
        return model.eval()

    def evaluate(self, split: str, tables: Tables = None) -> dict[str, float]:
        """Return ``<split>/<task>/<metric>`` of the selected network; for the test split also the
        metrics of single classes, ``test/<task>/<metric>/<class>``. All ranks call this. `tables`
        receives the tables of counts by task, see `mtsearch.tasks.registry.Meter`."""
        torch.set_num_threads(self.config.threads)
        by_class = split == "test"
        parts = labelled_batches(self.dataset, self.dataset.splits[split], self.tasks, self.device)
        metrics = self._evaluated(self.selected_model(), parts, by_class, tables)
        metrics |= self._units.aggregates(metrics)
        return {f"{split}/{key}": value for key, value in metrics.items()}

    # ------------------------------------------------------------ state

    def state_dict(self) -> dict[str, Any]:
        """Return the state from which training continues bit-identically, as a tree of tensors and
        plain values."""
        return {
            **self._identity(),
            **self._selection.state_dict(),
            "structure": None if self._structure is None else self._structure.to_dict(),
            "carried_metrics": self._carried_metrics,
            "phase": self._phase,
            "epoch": self._epoch,
            "ticks": self._trainer.ticks,
            "lr": self._lr,
            "cost": [self._seconds, self._steps, self._examples],
            "live": None if self.finished else self._live_state(),
        }

    def _live_state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            **self._trainer.state_dict(),
            "balancing": self._balancing.state_dict(),
            "teachers": None if self._teachers is None else self._teachers.state_dict(),
            "streams": self._loader.state_dict(),
            "schedule": self._plan_rng.get_state(),
            "rngs": self._rngs,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict` of the same configuration. Raises ValueError if the data
        differ."""
        self._load_identity(state)
        self._selection.load_state_dict(state, self.reports, self.device)
        self._structure = (
            None if state["structure"] is None else Structure.from_dict(state["structure"])
        )
        # the key was `handed` up to version 4; such states may also lack `lr`
        self._carried_metrics = state.get("carried_metrics", state.get("handed", {}))
        self._phase, self._epoch, self._lr = state["phase"], state["epoch"], state.get("lr", 0.0)
        self._seconds, self._steps, self._examples = state["cost"]
        live = state["live"]
        if live is None:
            self._trainer.ticks = state["ticks"]
            return
        with fork_rng(self.config.seed):
            self.model = self._new_network()
        if self._teachers is not None:
            self._teachers.load_state_dict(live["teachers"])
        self._trainer = self._phase_trainer()
        self.model.load_state_dict(to_device(live["model"], self.device))
        self._trainer.load_state_dict(live, state["ticks"])
        self._balancing.load_state_dict(live["balancing"])
        self._loader.load_state_dict(live["streams"])
        self._plan_rng.set_state(live["schedule"])
        self._rngs = live["rngs"]
        self._rng = self._rngs[self.world.rank]

    def close(self) -> None:
        """Release the network and the optimiser. The dataset stays open for the next trial of this
        process."""
        if self.config.compile:
            clear_compiled()
        self._loader.close()
        if self._teachers is not None:
            self._teachers._loader.close()
        del self.model, self._trainer, self._teachers, self._selection
