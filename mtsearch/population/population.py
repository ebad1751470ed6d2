"""Training of a population as a trial: an iterator over reports that can be saved and continued
bit-identically."""

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
from mtsearch.training.aggregates import error_units
from mtsearch.training.checkpointed import CheckpointedTrial, check_finite
from mtsearch.training.schedules import lr_factor
from mtsearch.training.state import to_device


class Population(CheckpointedTrial):
    """Trains a population on one target task; each `next` runs up to `report_every` rounds and
    returns a report.

    A report has the entries of a `Trial` report. ``val/<task>/...`` are the metrics of the target's
    own network on the validation split, after the last round; in the last report, which is the
    selected one, they are those of the final network (see `final_weights`). ``cost/steps`` and
    ``cost/examples`` count all members. Further entries:

    - ``population/round``, ``population/rounds``: the number of finished rounds and of all rounds;
      ``population/best_round``: the round of the target's lowest loss;
    - ``population/accepted``, ``population/rejected``: how often so far a task accepted a visitor
      or kept its own state; ``population/transfers``: how often the target accepted a visitor;
    - ``population/bytes``: size of all states sent between members; ``population/overlap``: the
      mean share of a task's hold-out on which another task trains;
    - ``population/task<i>/loss`` (on the task's hold-out), ``/accepted`` and ``/donor<m>``: of the
      last round; ``/score<j>`` with donor scores.

    Args:
        config: the configuration, with a `population`.
        data: the dataset and its location.
        world: the ranks that train the population together; the results do not depend on their
            number. Rank 0 has the weights.
        clock: returns seconds, for ``cost/seconds``.

    Raises:
        BadInput: the configuration cannot train on this dataset.
    """

    def __init__(
        self,
        config: TrialConfig,
        data: DataConfig,
        world: World | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        data = data.model_copy(update={"load": "memory"})
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
        self._rounds.initialise()
        # gathered on rank 0 now, because `save` is called on rank 0 only
        self._gathered: dict[str, Any] | None = self._rounds.state_dict()
        self._overlap = overlap(
            [set(task.hold_out.tolist()) for task in self._tasks],
            [task.seen for task in self._tasks],
        )

    # ------------------------------------------------------------ iteration

    def __next__(self) -> dict[str, Any]:
        """Run up to the next report.

        Raises:
            StopIteration: the population is finished.
            Diverged: the loss of the target is not finite.
        """
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
        """Whether the budget is used up or early stopping has ended the trial."""
        return self._over

    @property
    def total_epochs(self) -> int:
        """Number of epochs of the target's own member if it is not stopped early."""
        return math.ceil(self.rounds * self._interval / self._epoch)

    @property
    def selected(self) -> dict[str, Any]:
        """The report that represents the trial in result tables: the last one. Raises RuntimeError
        before the first report."""
        if not self.reports:
            raise RuntimeError(
                "A population selects its last report. Found none. Call `next` on it first."
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
        report |= self.world.broadcast(self._metrics() if self.world.rank == 0 else None)
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

    def _metrics(self) -> dict[str, Any]:
        """Return the entries of a report that need the weights, which only rank 0 has."""
        model = self.selected_model()
        found: dict[str, Any] = {
            f"val/{key}": value for key, value in self._evaluated("val").items()
        }
        return (
            found
            | measures(model)
            | {"model/macs": model_macs(model, self.dataset.card.shape, skip_zero_rows=True)}
        )

    def _evaluated(
        self,
        split: str,
        by_class: bool = False,
        tables: dict[str, list[list[int]]] | None = None,
    ) -> dict[str, float]:
        images = self.dataset.splits[split]
        task = replace(self._tasks[0], split=images)
        labelled = images.labelled(self.tasks[0]).nonzero().flatten()
        metrics = self._trainer.metrics(task, self._weights(), labelled, None, by_class, tables)
        found = {f"{self.tasks[0].name}/{key}": value for key, value in metrics.items()}
        return found | error_units(self.dataset, self.tasks).aggregates(found)

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
            raise RuntimeError(
                f"Only rank 0 of a population has the weights of its target. Found rank"
                f" {self.world.rank}. Call this on rank 0."
            )
        return weights

    def selected_model(self) -> MultiTaskModel:
        """Return the network of the last report, in eval mode; at the end it is the final
        network."""
        model = self._uninitialised_model()
        model.load_state_dict(self._weights())
        return model.eval()

    def evaluate(
        self, split: str, tables: dict[str, list[list[int]]] | None = None
    ) -> dict[str, float]:
        """Return ``<split>/<task>/<metric>`` of the selected network; for the test split, which is
        for the end of a search, also the metrics of single classes. All ranks call this. `tables`
        receives the table of counts of the task on rank 0."""
        torch.set_num_threads(self.config.threads)
        metrics = self._evaluated(split, split == "test", tables) if self.world.rank == 0 else None
        return {f"{split}/{key}": value for key, value in self.world.broadcast(metrics).items()}

    # ------------------------------------------------------------ state

    def state_dict(self) -> dict[str, Any]:
        """Return the state after the last report, from which training continues bit-identically.
        It is complete on rank 0 only. A finished population has only its final weights."""
        return {
            **self._identity(),
            "seconds": self._seconds,
            "final": self._final,
            "live": self._gathered,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict` of the same configuration. Raises ValueError if the data
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
        """Release the states and networks. The dataset stays open for the next trial of this
        process."""
        del self._rounds, self._trainer, self._source, self._final, self._gathered
