"""A population as a trial: an iterator over reports, whose state continues bit-identically."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.models import MultiTaskModel, model_macs
from mtsearch.population.checks import check_length
from mtsearch.population.final import final_weights
from mtsearch.population.member import MemberTrainer
from mtsearch.population.rounds import Rounds
from mtsearch.population.splits import overlap
from mtsearch.population.task import BatchSource
from mtsearch.population.tasks import build_tasks, passes, round_count, with_interval_in_steps
from mtsearch.sparsity import measures
from mtsearch.training import World
from mtsearch.training.checkpointed import CheckpointedTrial, check_finite
from mtsearch.training.schedules import lr_factor
from mtsearch.training.state import to_device


class Population(CheckpointedTrial):
    """Train a population on one target task; each `next` runs up to `report_every` rounds and
    returns a report.

    A report has what a trial's has: ``val/<task>/...`` are those of the target's own network on the
    validation split, after the last round's judgement; those of the last report, which is the
    selected one, are of the network that is handed out (`final`). ``cost/steps`` and
    ``cost/examples`` count all members. Besides:

    - ``population/round``, ``population/rounds``: rounds over and in all;
      ``population/best_round``: of the target's lowest loss;
    - ``population/accepted``, ``population/rejected``: judgements so far that took a visitor, or
      kept a task's own state; ``population/transfers``: those that took a visitor into the target;
    - ``population/bytes``: size of all states that members took of others; ``population/overlap``:
      the mean share of a task's hold-out that another one trains on;
    - ``population/task<i>/loss`` on the task's hold-out, ``/accepted``, ``/donor<m>``: of the last
      round; ``/score<j>`` with scores.

    Args:
        config: the configuration, with a `population`.
        data: which dataset, with one task.
        world: the ranks that train it together; results are the same with any number. Rank 0 has
            the weights.
        clock: seconds for ``cost/seconds``.
    """

    def __init__(
        self,
        config: TrialConfig,
        data: DataConfig,
        world: World | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        super().__init__(config, data, world, clock)
        self._tasks = build_tasks(config, data, self.dataset)
        check_length(config, self._tasks)
        self.tasks = (self._tasks[0].card,)
        self._epoch = passes(self._tasks[0], config.batch)
        plan = with_interval_in_steps(config, self._epoch)
        self._interval = plan.mto.interval
        self.rounds = round_count(plan, self._epoch)
        self._seconds = 0.0
        self._final: dict[str, Tensor] | None = None
        self._over = False
        self._source = BatchSource(config, self.device)
        self._trainer = MemberTrainer(
            plan, self._source, self.device, self.rounds * self._interval, self._epoch
        )
        self._rounds = Rounds(plan, self._tasks, self._trainer, self.world, self.device)
        self._rounds.begin()
        self._gathered: dict[str, Any] | None = (
            self._rounds.state_dict()
        )  # brought to rank 0 while all ranks are here
        self._overlap = overlap(
            [set(task.hold_out.tolist()) for task in self._tasks],
            [task.seen for task in self._tasks],
        )

    # ------------------------------------------------------------ iteration

    def __next__(self) -> dict[str, Any]:
        """Run up to the next report. Raises StopIteration at the end and `Diverged` when the
        target's loss is no finite number."""
        if self.finished:
            raise StopIteration
        until = min(self._rounds.number + self.config.report_every, self.rounds)
        start = self._clock()
        losses: list[float] = []
        while self._rounds.number < until and not self._rounds.over:
            self._rounds.next()
            losses.append(self._rounds.loss)
        self._seconds += self._clock() - start
        over = self._rounds.number >= self.rounds or self._rounds.over
        if over:
            self._final = final_weights(self.config.mto, self._rounds, self._trainer, self.world)
        report = self._report(losses)
        self._over = over
        self._gathered = None if over else self._rounds.state_dict()
        self.reports.append(report)
        return dict(report)

    @property
    def finished(self) -> bool:
        """Whether the budget is used up or the run was stopped early."""
        return self._over

    @property
    def total_epochs(self) -> int:
        """Epochs that the target's own member trains for if it is not stopped early."""
        return math.ceil(self.rounds * self._interval / self._epoch)

    @property
    def selected(self) -> dict[str, Any]:
        """The report that is the trial's row: the last one."""
        if not self.reports:
            raise RuntimeError(
                "Population should have made a report before one is selected. Found none."
            )
        return dict(self.reports[-1])

    # ------------------------------------------------------------ reports

    def _report(self, losses: list[float]) -> dict[str, Any]:
        config, rounds = self.config, self._rounds
        task, done = self.tasks[0].name, rounds.number * self._interval
        lr = config.optimizer.lr * lr_factor(
            config.lr_schedule, done - 1, self._epoch, self.rounds * self._interval / self._epoch
        )
        report: dict[str, Any] = {
            "report": len(self.reports) + 1,
            "phase": "train",
            "epoch": math.ceil(done / self._epoch),
            "lr": lr,
            f"train/{task}/loss": sum(losses) / len(losses),
        }
        report |= self.world.broadcast(self._figures() if self.world.rank == 0 else None)
        check_finite(report, f"after round {rounds.number}")
        report |= {
            "cost/seconds": self._seconds,
            "cost/steps": rounds.counts["steps"],
            "cost/examples": rounds.counts["examples"],
        }
        facts = {
            "round": rounds.number,
            "rounds": self.rounds,
            "best_round": rounds.target_round,
            "overlap": self._overlap,
        }
        facts |= {
            key: rounds.counts[key] for key in ("accepted", "rejected", "transfers", "bytes")
        } | rounds.facts
        if config.mto.donor_rule == "softmax_score":
            facts |= {
                f"task{i}/score{j}": s
                for i, row in enumerate(rounds.donors.scores)
                for j, s in enumerate(row)
                if i != j
            }
        return report | {f"population/{key}": value for key, value in facts.items()}

    def _figures(self) -> dict[str, Any]:
        """What only the rank with the weights can tell."""
        model = self.selected_model()
        found: dict[str, Any] = {
            f"val/{key}": value for key, value in self._evaluated("val").items()
        }
        return (
            found
            | measures(model)
            | {"model/macs": model_macs(model, self.dataset.card.shape, skip_zero_rows=True)}
        )

    def _evaluated(self, split: str, by_class: bool = False) -> dict[str, float]:
        images = self.dataset.splits[split]
        task = replace(self._tasks[0], split=images)
        labelled = images.labelled(self.tasks[0]).nonzero().flatten()
        figures = self._trainer.figures(task, self._weights(), labelled, by_class=by_class)
        return {f"{self.tasks[0].name}/{key}": value for key, value in figures.items()}

    # ------------------------------------------------------------ the chosen model

    def _weights(self) -> dict[str, Tensor]:
        weights = (
            self._final
            if self._final is not None
            else self._rounds.states[0].model
            if 0 in self._rounds.states
            else None
        )
        if weights is None:
            raise RuntimeError("Population keeps its target's weights on rank 0. Ask there.")
        return weights

    def selected_model(self) -> MultiTaskModel:
        """The model of the last report, in eval mode: at the end the one that is handed out."""
        model = self._uninitialised_model()
        model.load_state_dict(self._weights())
        return model.eval()

    def evaluate(self, split: str) -> dict[str, float]:
        """`<split>/<task>/<metric>` of the selected model, of the test split single classes too.
        That split is for the end of a search. All ranks call this."""
        torch.set_num_threads(self.config.threads)
        figures = self._evaluated(split, by_class=split == "test") if self.world.rank == 0 else None
        return {f"{split}/{key}": value for key, value in self.world.broadcast(figures).items()}

    # ------------------------------------------------------------ state

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to continue bit-identically, on rank 0, where the last report brought
        it. A finished population's is small."""
        return {
            **self._identity(),
            "seconds": self._seconds,
            "final": self._final,
            "live": self._gathered,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict` of the same configuration. Raises ValueError when the data
        differ."""
        self._load_identity(state)
        self._seconds = state["seconds"]
        self._final = (
            None
            if state["final"] is None or self.world.rank
            else to_device(state["final"], self.device)
        )
        self._over = state["live"] is None
        if state["live"] is not None:
            self._rounds.load_state_dict(state["live"])
        self._gathered = state["live"]

    def close(self) -> None:
        """Drop the states and networks; the dataset stays for the next trial in this process."""
        del self._rounds, self._trainer, self._source, self._final, self._gathered
