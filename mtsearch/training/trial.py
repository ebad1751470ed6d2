"""One trial: a configuration trained on a dataset, as an iterator over reports whose state
continues bit-identically."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from mtsearch.balancing import Balancing, build_balancing
from mtsearch.balancing.schedules import build_schedule
from mtsearch.config.cards import TaskCard
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.data import Batches, device_of, open_dataset
from mtsearch.models import MultiTaskModel, build_model, lsuv_, model_macs, normal_
from mtsearch.sparsity import Sparsifier, Structure, find_sharing, measures, tie_, untie_
from mtsearch.training.checks import check_images, check_lone_images, check_parts
from mtsearch.training.compiling import check_compile, forget
from mtsearch.training.ema import Average
from mtsearch.training.evaluation import evaluate
from mtsearch.training.optimizers import build_optimizer, load_optimizer, scaled_groups
from mtsearch.training.parts import batches_of, parts_of
from mtsearch.training.phases import Phase, plan, shortfalls
from mtsearch.training.preference import coefficient_of, weights_of
from mtsearch.training.randomness import Lent
from mtsearch.training.reduction import copy_from_first_, gathered
from mtsearch.training.schedules import lr_factor
from mtsearch.training.selection import Selection
from mtsearch.training.state import has_state, load_state, save_state, to_device
from mtsearch.training.steps import Stepper
from mtsearch.training.streams import Pools, Streams
from mtsearch.training.sync_norm import synchronise_
from mtsearch.training.teachers import lesson, lessons
from mtsearch.training.world import World

DUAL_IMAGES = 1024  # training images on which the losses of a dual update are measured


class Diverged(RuntimeError):
    """A loss stopped being a finite number. The text is one sentence for the trial's row."""


class Trial:
    """Train one configuration; each `next` trains up to one report and returns it.

    A report holds ``report`` (from 1), ``phase``, ``epoch`` (from 1, over all phases), ``lr``,
    ``train/<task>/loss``, ``val/<task>/...``, ``model/...`` and ``cost/...``.
    On CPU, equal configuration, data, versions and thread count give bit-identical reports, also
    after `state_dict` / `load_state_dict`.

    Args:
        config: the configuration.
        data: which dataset, and where it is.
        world: the ranks that train this trial together.
        clock: seconds for ``cost/seconds``.
    """

    def __init__(
        self,
        config: TrialConfig,
        data: DataConfig,
        world: World | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.config = config
        self.data = data
        self.world = world or World()
        self._clock = clock
        torch.set_num_threads(config.threads)
        self.device = device_of(config.device)
        self._autocast = torch.bfloat16 if config.precision == "bfloat16" else None
        self.dataset = open_dataset(data)
        self.tasks = self.dataset.card.tasks
        self.phases: list[Phase] = plan(config)
        self.reports: list[dict[str, Any]] = []
        self._selection = Selection(config, self.tasks)  # of the current phase
        self._epoch, self._seconds, self._steps, self._examples = 0, 0.0, 0, 0
        self._structure: Structure | None = None
        self._handed: dict[
            str, float
            # what the teachers reach and the search phase fell short of, told in every later report
        ] = {}
        self._schedule = build_schedule(config.task_schedule, [task.name for task in self.tasks])
        self._coins = torch.Generator().manual_seed(config.seed)
        train = self.dataset.splits["train"]
        batches = batches_of(self.dataset, train, config.batch, self.device, config.augment)
        cached = getattr(config.task_schedule, "replay", "fresh") == "cached"
        self._streams = Streams(
            batches,
            train,
            self.tasks,
            self._schedule.groups,
            config.seed,
            cached,
            self.world,
            config.batch_size,
        )
        with self._seeded(config.seed):
            self.model = self._build()
            if (
                self.world.rank
            ):  # what is dropped out of one rank's images has nothing to do with another's
                torch.manual_seed((self.world.rank << 32) ^ config.seed)
            self._rng = torch.get_rng_state()
        self._rngs = gathered(self._rng, self.world)
        self._balancing = self._balance()
        check_parts(config, self.dataset.card, self._schedule, self._balancing, self.model)
        found = {
            name: Pools(split, self.tasks)
            for name, split in self.dataset.splits.items()
            if name != "train"
        }
        check_images(
            config, self._schedule, self._balancing, {"train": self._streams.pools, **found}
        )
        every = [
            stream
            for group in self._schedule.groups
            for stream in self._streams.pools.streams(group, config.batch_size)
        ]
        check_lone_images(config, self.dataset.card, every)
        if config.compile:
            check_compile(self.model, self.device)
        taught = lessons(config)
        self._teachers = None if taught is None else Trial(taught, data, self.world, clock)
        self._begin(0)

    # ------------------------------------------------------------ iteration

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self

    def __next__(self) -> dict[str, Any]:
        """Train up to the next report. Raises StopIteration at the end and `Diverged` when a loss
        is no finite number."""
        if self.finished:
            raise StopIteration
        phase = self.phases[self._phase]
        until = min(self._epoch + self.config.report_every, phase.epochs)
        with self._seeded(None):
            start = self._clock()
            losses: dict[str, float] = {}
            if phase.name == "teach":
                self._epoch, self._lr, self._steps, self._examples, self._handed = lesson(
                    self._teachers
                )
            while self._epoch < until:
                losses = self._train_epoch()
                self._epoch += 1
            self._seconds += self._clock() - start
            report = self._report(phase, losses)
            self._rng = torch.get_rng_state()
        self._rngs = gathered(self._rng, self.world)
        self.reports.append(report)
        if self._epoch == phase.epochs and self._phase + 1 < len(self.phases):
            self._begin(self._phase + 1)
        return dict(report)

    @property
    def finished(self) -> bool:
        """Whether every phase is over."""
        return self._phase == len(self.phases) - 1 and self._epoch >= self.phases[-1].epochs

    @property
    def total_epochs(self) -> int:
        """Epochs of all phases."""
        return sum(phase.epochs for phase in self.phases)

    @property
    def selected(self) -> dict[str, Any]:
        """The report that is the trial's row: the best mean validation error in the last phase
        reached, ties to the earliest."""
        return self.best()

    def best(self, of: str | None = None) -> dict[str, Any]:
        """The selected report, or with `of` a task's own best one. Raises BadInput where the trial
        does not keep that."""
        return dict(self.reports[self._selection.best(of)["report"] - 1])

    # ------------------------------------------------------------ building

    def _build(self) -> MultiTaskModel:
        config = self.config
        model = build_model(
            config.architecture, config.backbone, self.tasks, self.dataset.card.shape
        )
        if config.init == "lsuv":
            first = [
                next(iter(batches))[0] for _, batches in self._parts("train", DUAL_IMAGES // 2)
            ]
            lsuv_(
                model,
                torch.cat(first)[:: len(first)].cpu(),
                torch.Generator().manual_seed(config.seed),
            )
        elif config.init == "normal":
            normal_(model)
        model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.config.bn == "sync":
            synchronise_(model, self.world)
        return model

    def _parts(self, split: str, first: int | None = None) -> list[tuple[list[TaskCard], Batches]]:
        return parts_of(self.dataset, self.dataset.splits[split], self.tasks, self.device, first)

    def _balance(self) -> Balancing:
        config = self.config
        return build_balancing(
            config.balancing,
            weights_of(config, self.dataset.card, self.device),
            coefficient_of(config),
        )

    def _begin(self, phase: int) -> None:
        """Enter a phase with a fresh optimiser; retraining starts from the chosen state of the
        search and holds its structure."""
        config = self.config
        self._phase, self._epoch, self._ticks, self._lr = phase, 0, 0, 0.0
        if self.phases[phase].name == "retrain" and self._selection:
            self.model.load_state_dict(self._selection.best()["model"])
            self._structure = find_sharing(
                self.model, self.model.prunable, config.sparsity.share, config.seed
            )
            self._handed |= shortfalls(self.model, config.sparsity, self._structure)
        if phase > 0:
            self._balancing = self._balance()
        self._prepare()

    def _prepare(self) -> None:
        """Optimiser, sparsifier and average of the current phase over the model, whose structure is
        tied first."""
        config, phase = self.config, self.phases[self._phase]
        if self._structure is not None:
            tie_(self.model, self._structure)
        self._val = self._parts("val")
        self._optimizer = build_optimizer(
            config.optimizer,
            scaled_groups(self.model, config.lr_multipliers, self._balancing.parameters()),
        )
        self._stepper = Stepper(
            self.model,
            self.tasks,
            self._balancing,
            self._optimizer,
            config.clip,
            self._autocast,
            config.idle,
            self.world,
            config.compile,
        )
        self._sparsifier = None
        if phase.name == "search":
            steps = self._schedule.steps_per_epoch(self._streams.streams)
            self._sparsifier = Sparsifier(
                self.model,
                self.model.prunable,
                config.sparsity,
                total_steps=phase.epochs * steps,
                steps_per_epoch=steps,
            )
        if self._teachers is not None and self._teachers.finished:
            self.model.learn_from(self._teachers.selected_model())  # type: ignore[operator]
        self._average = (
            Average(self.model, config.ema)
            if config.ema is not None and self._phase == len(self.phases) - 1
            else None
        )

    # ------------------------------------------------------------ training

    def _train_epoch(self) -> dict[str, float]:
        """One epoch as the task schedule plans it; returns ``train/<task>/loss``, means as the
        model went through it, of the tasks that had a step."""
        config, phase = self.config, self.phases[self._phase]
        sums = torch.zeros(2, len(self.tasks), dtype=torch.float64, device=self.device)
        images = 0
        penalty = (
            self._sparsifier.penalty()
            if self._sparsifier is not None and coefficient_of(config) > 0
            else 0.0
        )
        self.model.train()
        self._streams.begin()
        plan = self._schedule.epoch(self._streams.streams, self._coins)
        for number, group in enumerate(plan):
            self._lr = config.optimizer.lr * lr_factor(
                config.lr_schedule, self._epoch * len(plan) + number, len(plan), phase.epochs
            )
            for parameters in self._optimizer.param_groups:
                parameters["lr"] = self._lr * parameters.get("scale", 1.0)
            parts = self._streams.next(group)
            sums[:, list(group)] += torch.stack(self._stepper.step(parts, penalty))
            self._sparsify(number + 1, len(plan))
            if self._average is not None:
                self._average.update()
                if self._sparsifier is not None:
                    self._sparsifier.hold(self._average.model)
            self._steps += 1
            images += sum(len(batch) for _, (batch, _) in parts)
        self._sparsify(1, 1)
        copy_from_first_(
            [
                *self.model.buffers(),
                *(self._average.model.buffers() if self._average is not None else ()),
            ],
            self.world,
        )
        self._examples += int(self.world.sum_(torch.tensor(images)))
        self.world.sum_(sums)
        self._dual_update(penalty)
        means = (sums[0] / sums[1].clamp(min=1)).tolist()
        return {
            f"train/{self.tasks[k].name}/loss": means[k]
            for k, count in enumerate(sums[1].tolist())
            if count
        }

    def _sparsify(self, done: int, of: int) -> None:
        """Tell the sparsifier where the phase is: its clock has as many ticks an epoch as the
        schedule has steps on average."""
        if self._sparsifier is None:
            return
        ticks = self._sparsifier.steps_per_epoch
        now = self._epoch * ticks + done * ticks // of
        if now == self._ticks:
            self._sparsifier.hold()
        for tick in range(self._ticks + 1, now + 1):
            self._sparsifier.after_step(tick)
        self._ticks = now

    def _dual_update(self, penalty: float) -> None:
        if not self._balancing.due(self._epoch + 1):
            return
        figures = evaluate(
            self.model, self._parts("train", DUAL_IMAGES), self.device, self._autocast, self.world
        )
        losses = torch.tensor(
            [figures[f"{task.name}/loss"] for task in self.tasks], device=self.device
        )
        self._balancing.end_of_epoch(self._epoch + 1, losses, penalty)

    # ------------------------------------------------------------ reports

    def _report(self, phase: Phase, losses: dict[str, float]) -> dict[str, Any]:
        number = len(self.reports) + 1
        epoch = sum(p.epochs for p in self.phases[: self._phase]) + self._epoch
        weights = self._average.model if self._average is not None else self.model
        report: dict[str, Any] = {
            "report": number,
            "phase": phase.name,
            "epoch": epoch,
            "lr": self._lr,
            **losses,
        }
        report |= {
            f"val/{key}": value
            for key, value in evaluate(
                weights, self._val, self.device, self._autocast, self.world
            ).items()
        }
        for key, value in report.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise Diverged(
                    f"`{key}` is {value} at epoch {epoch}. Lower `trial.optimizer.lr` or set"
                    " `trial.clip`."
                )
        report |= measures(weights)
        report |= self._handed
        report["model/macs"] = model_macs(weights, self.dataset.card.shape, skip_zero_rows=True)
        report |= {
            "cost/seconds": self._seconds,
            "cost/steps": self._steps,
            "cost/examples": self._examples,
        }
        if all(earlier["phase"] != phase.name for earlier in self.reports):
            # not before: until a phase has reported, the one before it has the chosen weights
            self._selection.clear()
        self._selection.consider(phase.name, report, weights)
        return report

    # ------------------------------------------------------------ the chosen model

    def selected_model(self, of: str | None = None) -> MultiTaskModel:
        """The model of the selected report, in eval mode, with plain weights (zero and tied rows
        written out).

        `of` names a task whose own best is meant. Raises BadInput where the trial does not keep
        that.
        """
        with Lent(None, None):  # the weights that are drawn here are not used
            model = build_model(
                self.config.architecture, self.config.backbone, self.tasks, self.dataset.card.shape
            )
        model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if (
            self._structure is not None and self.best(of)["phase"] == "retrain"
        ):  # before its first report the search's rows are not tied
            tie_(model, self._structure)
        model.load_state_dict(self._selection.best(of)["model"])
        untie_(model)
        return model.eval()

    def evaluate(self, split: str) -> dict[str, float]:
        """`<split>/<task>/<metric>` of the selected model, of the test split single classes too.
        That split is for the end of a search."""
        torch.set_num_threads(self.config.threads)
        figures = evaluate(
            self.selected_model(),
            self._parts(split),
            self.device,
            self._autocast,
            self.world,
            by_class=split == "test",
        )
        return {f"{split}/{key}": value for key, value in figures.items()}

    # ------------------------------------------------------------ state

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to continue bit-identically, as a tree of tensors and plain values."""
        return {
            "config": self.config.model_dump(mode="json"),
            "data": self.data.model_dump(
                mode="json", exclude={"root", "store"}
            ),  # where data lie is the machine's matter
            "checksum": self.dataset.checksum,
            "reports": self.reports,
            **self._selection.state_dict(),
            "structure": None if self._structure is None else self._structure.to_dict(),
            "handed": self._handed,
            "phase": self._phase,
            "epoch": self._epoch,
            "ticks": self._ticks,
            "lr": self._lr,
            "cost": [self._seconds, self._steps, self._examples],
            "live": None if self.finished else self._live_state(),
        }

    def _live_state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "stepper": self._stepper.state_dict(),
            "balancing": self._balancing.state_dict(),
            "teachers": None if self._teachers is None else self._teachers.state_dict(),
            "sparsifier": None if self._sparsifier is None else self._sparsifier.state_dict(),
            "average": None if self._average is None else self._average.state_dict(),
            "streams": self._streams.state_dict(),
            "schedule": self._coins.get_state(),
            "rngs": self._rngs,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict` of the same configuration. Raises ValueError when the data
        differ."""
        if state["checksum"] != self.dataset.checksum:
            raise ValueError(
                f"Trial state was made on data with checksum {state['checksum']}. Found"
                f" {self.dataset.checksum}."
            )
        self.reports = [dict(report) for report in state["reports"]]
        self._selection.load_state_dict(state, self.device)
        self._structure = (
            None if state["structure"] is None else Structure.from_dict(state["structure"])
        )
        self._handed = state["handed"]
        self._phase, self._epoch, self._ticks = state["phase"], state["epoch"], state["ticks"]
        self._lr = state.get("lr", 0.0)  # states of earlier versions lack it
        self._seconds, self._steps, self._examples = state["cost"]
        live = state["live"]
        if live is None:
            return
        with self._seeded(self.config.seed):
            self.model = self._build()
        if self._teachers is not None:
            self._teachers.load_state_dict(live["teachers"])
        self._prepare()
        self.model.load_state_dict(to_device(live["model"], self.device))
        load_optimizer(self._optimizer, to_device(live["optimizer"], self.device))
        self._stepper.load_state_dict(live["stepper"])
        self._balancing.load_state_dict(live["balancing"])
        if self._sparsifier is not None:
            self._sparsifier.load_state_dict(to_device(live["sparsifier"], self.device))
        if self._average is not None:
            self._average.load_state_dict(to_device(live["average"], self.device))
        self._streams.load_state_dict(live["streams"])
        self._coins.set_state(live["schedule"])
        self._rngs = live["rngs"]
        self._rng = self._rngs[self.world.rank]

    def save(self, folder: Path) -> None:
        """Write the state to a folder, atomically. A finished trial's is small: the chosen weights
        and the reports."""
        save_state(folder, self.state_dict())

    @classmethod
    def restore(
        cls, folder: Path, data: DataConfig | None = None, world: World | None = None
    ) -> Trial:
        """The trial that was saved in a folder; `data` replaces where its data are found. Raises
        BadInput when the folder is damaged."""
        state = load_state(folder)
        trial = cls(
            TrialConfig.model_validate(state["config"]),
            data or DataConfig.model_validate(state["data"]),
            world,
        )
        trial.load_state_dict(state)
        return trial

    @staticmethod
    def saved(folder: Path) -> bool:
        """Whether a trial was saved there."""
        return has_state(folder)

    def close(self) -> None:
        """Drop the model and the optimiser; the dataset stays for the next trial in this
        process."""
        if self.config.compile:
            forget()
        del (
            self.model,
            self._optimizer,
            self._stepper,
            self._teachers,
            self._sparsifier,
            self._average,
            self._selection,
        )

    # ------------------------------------------------------------ randomness

    def _seeded(self, seed: int | None) -> Lent:
        return Lent(seed, None if seed is not None else self._rng)
