"""The rounds of a population: visitors start from donors, all members train, and each task keeps
the best of its members."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from mtsearch.config.schema import TrialConfig
from mtsearch.population.donors import Donors
from mtsearch.population.judge import survivor
from mtsearch.population.member import MemberResult, MemberTrainer
from mtsearch.population.members import Member, Members
from mtsearch.population.state import MemberState
from mtsearch.population.task import Task
from mtsearch.population.transfer import accepted, needs_own_state, same_head, start
from mtsearch.training.state import to_device
from mtsearch.training.world import World


class Rounds:
    """The states of all tasks, and their rounds (Zhang et al. 2020). `facts` are the report entries
    of the last round.

    Rounds are synchronous: visitors start from the donors' states at the start of the round.
    Donors and batches depend on seed, task and round only, so that ranks exchange nothing but
    losses and states.
    """

    def __init__(
        self,
        config: TrialConfig,
        tasks: list[Task],
        trainer: MemberTrainer,
        world: World,
        device: torch.device,
    ) -> None:
        self._config, self._settings = config, config.mto
        self._trainer, self._world, self._device = trainer, world, device
        self.tasks = tasks
        self.members = Members(self._settings, world)
        self.donors = Donors(self._settings, config.seed, [task.key for task in tasks])
        self.number = 0  # finished rounds
        self.counts = {
            "steps": 0,
            "examples": 0,
            "accepted": 0,
            "rejected": 0,
            "transfers": 0,
            "bytes": 0,
        }
        self.facts: dict[str, float] = {}
        # mean training loss, in the last round, of the member that the target kept
        self.loss = math.nan
        self.stopped: set[int] = set()
        self._waits = [0] * len(tasks)  # rounds since the score of a task was lowest
        self._scores = [math.inf] * len(tasks)  # lowest score of each task
        self._chosen = [0] * len(tasks)  # round of each task's snapshot
        self._sizes = [0.0] * len(tasks)
        self.states: dict[int, MemberState] = {}
        self.snapshots: dict[int, dict[str, Tensor]] = {}

    def initialise(self) -> None:
        """Initialise the states of the tasks that this rank keeps."""
        self.states = {
            i: self._trainer.initial_state(task)
            for i, task in enumerate(self.tasks)
            if self.members.is_local((i, 0))
        }
        self._measure({(i, 0): [float(state.bytes)] for i, state in self.states.items()})

    @property
    def over(self) -> bool:
        """Whether early stopping has ended the run."""
        scope = self._settings.stop_scope
        return (scope == "target" and 0 in self.stopped) or (
            scope == "per_task" and len(self.stopped) == len(self.tasks)
        )

    def next(self) -> None:
        """Run one round: assign donors (ASSIGN), train every member for K steps, select survivors
        (JUDGE)."""
        live = [i for i in range(len(self.tasks)) if i not in self.stopped]
        donors = {i: self.donors.draw(i, self.number) for i in live}
        starts = self._assign(live, donors)
        results: dict[Member, MemberResult] = {}
        found: dict[Member, list[float]] = {}
        for member, start_state in starts.items():
            results[member] = self._train(member, start_state, donors)
            task, state = self.tasks[member[0]], results[member].state
            loss = self._trainer.loss(task, state.model, task.hold_out, self.number)
            found[member] = [
                loss,
                results[member].loss,
                float(results[member].examples),
                float(state.bytes),
            ]
        table = self.members.gather(found, 4)
        self._judge(live, donors, results, table)

    # ------------------------------------------------------------ ASSIGN

    def _assign(self, live: list[int], donors: dict[int, list[int]]) -> dict[Member, MemberState]:
        """Return the initial states of the members that train on this rank."""
        found: dict[Member, MemberState] = {}
        for i in live:
            if self.members.is_local((i, 0)):
                found[i, 0] = self.states[i]
            for m, donor in enumerate(donors[i], 1):
                agree = same_head(self.tasks[i].card, self.tasks[donor].card)
                theirs = self._sent(self.states.get(donor), (donor, 0), (i, m))
                self.counts["bytes"] += int(self._sizes[donor])
                if needs_own_state(self._settings) or not agree:
                    own = self._sent(self.states.get(i), (i, 0), (i, m))
                    self.counts["bytes"] += int(self._sizes[i])
                else:
                    own = theirs
                if theirs is not None and own is not None:
                    found[i, m] = self._visitor_start(i, own, theirs, agree)
        return found

    def _visitor_start(
        self, i: int, own: MemberState, donor: MemberState, agree: bool
    ) -> MemberState:
        """Return the initial state of a visitor. If the own state of the task is not needed, `own`
        is the donor's state, used for its names, with the optimiser settings of the task."""
        settings = self.tasks[i].optimizer.model_dump(mode="json")
        return start(
            self._settings,
            MemberState(own.model, own.moments, settings if own is donor else own.optimizer),
            donor,
            agree,
        )

    def _sent(
        self, state: MemberState | None, source: Member, target: Member
    ) -> MemberState | None:
        found = self.members.send(state, source, target)
        return None if found is None else MemberState.of(to_device(found.tree(), self._device))

    def _train(
        self, member: Member, start_state: MemberState, donors: dict[int, list[int]]
    ) -> MemberResult:
        i, m = member
        foreign = m > 0 and not same_head(self.tasks[i].card, self.tasks[donors[i][m - 1]].card)
        return self._trainer.train(
            self.tasks[i],
            start_state,
            self.number * self._settings.interval,
            self._settings.interval,
            lane=m if self._settings.pairing == "independent" else 0,
            head_only=foreign and self._settings.freeze_on_foreign_head,
        )

    # ------------------------------------------------------------ JUDGE

    def _judge(
        self,
        live: list[int],
        donors: dict[int, list[int]],
        results: dict[Member, MemberResult],
        table: dict[Member, list[float]],
    ) -> None:
        self.number += 1
        self.counts["steps"] += len(live) * self._settings.group_size * self._settings.interval
        self.facts = {f"task{i}/stopped": 1.0 for i in self.stopped}
        scores: dict[Member, list[float]] = {}
        for i in live:
            lines = [table[i, m] for m in range(self._settings.group_size)]
            self.counts["examples"] += sum(int(line[2]) for line in lines)
            own, visitors = lines[0][0], [line[0] for line in lines[1:]]
            kept = survivor(self._settings, i, own, visitors, donors[i])
            self.donors.update_scores(i, donors[i], own, visitors)
            self.counts["accepted" if kept else "rejected"] += 1
            if kept:
                self.counts["bytes"] += int(lines[kept][3])
                self.counts["transfers"] += int(i == 0)
            state = self._sent(
                results[i, kept].state if (i, kept) in results else None, (i, kept), (i, 0)
            )
            loss = lines[kept][0]
            if state is not None:
                if self._merges(kept):
                    state = accepted(self._settings, self.states[i], state)
                    loss = self._trainer.loss(
                        self.tasks[i], state.model, self.tasks[i].hold_out, self.number - 1
                    )
                self.states[i] = state
                scores[i, 0] = [self._score(i, loss, state), loss, float(state.bytes)]
            self.facts |= {f"task{i}/accepted": float(kept > 0)}
            self.facts |= {
                f"task{i}/donor{m}": float(donor) for m, donor in enumerate(donors[i], 1)
            }
            if i == 0:
                self.loss = lines[kept][1]
        judged = self.members.gather(scores, 3)
        for i in live:
            self.facts[f"task{i}/loss"], self._sizes[i] = judged[i, 0][1:]
        self._choose(live, judged)

    def _merges(self, kept: int) -> bool:
        """Return whether the kept state is merged with the task's state before the round. The own
        member is merged only with ``accept: argmin``, which treats all members equally."""
        return self._settings.merge_at == "acceptance" and (
            kept > 0 or self._settings.accept == "argmin"
        )

    def _score(self, i: int, loss: float, state: MemberState) -> float:
        """Return the score by which a task's snapshot is selected: the loss on its hold-out, or on
        the images reserved for this selection."""
        if self._settings.validation_policy != "shared_select":
            return loss
        return self._trainer.loss(self.tasks[i], state.model, self.tasks[i].select, self.number)

    def _choose(self, live: list[int], scores: dict[Member, list[float]]) -> None:
        for i in live:
            score = math.inf if math.isnan(scores[i, 0][0]) else scores[i, 0][0]
            better = score < self._scores[i]
            self._waits[i] = 0 if better else self._waits[i] + 1
            self._scores[i] = min(score, self._scores[i])
            if better or self._config.select == "last" or not self._chosen[i]:
                self._chosen[i] = self.number
                if i in self.states and (i == 0 or self._settings.final == "best_across"):
                    self.snapshots[i] = self.states[i].model
            watched = self._settings.stop_scope == "per_task" or (
                self._settings.stop_scope == "target" and i == 0
            )
            if watched and self._waits[i] >= self._settings.patience:
                self.stopped.add(i)

    def _measure(self, sizes: dict[Member, list[float]]) -> None:
        found = self.members.gather(sizes, 1)
        self._sizes = [found[i, 0][0] for i in range(len(self.tasks))]

    @property
    def target_round(self) -> int:
        """The round of the target's snapshot."""
        return self._chosen[0]

    # ------------------------------------------------------------ state

    def state_dict(self) -> dict[str, Any]:
        """Return the state on which the next round depends; only rank 0 gets the states of the
        tasks. All ranks call this."""
        states, snapshots = {}, {}
        for i in range(len(self.tasks)):
            rank = self.members.rank((i, 0))
            states[i] = self._world.send(
                self.states[i].tree() if i in self.states else None, rank, 0
            )
            if i == 0 or self._settings.final == "best_across":
                snapshots[i] = self._world.send(self.snapshots.get(i), rank, 0)
        return {
            "states": states,
            "snapshots": snapshots,
            "number": self.number,
            "counts": self.counts,
            "loss": self.loss,
            "donors": self.donors.scores,
            "stopped": sorted(self.stopped),
            "waits": self._waits,
            "scores": self._scores,
            "chosen": self._chosen,
            "sizes": self._sizes,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from the `state_dict` of rank 0."""
        here = [i for i in range(len(self.tasks)) if self.members.is_local((i, 0))]
        self.states = {i: MemberState.of(to_device(state["states"][i], self._device)) for i in here}
        kept = {
            i: weights
            for i, weights in state["snapshots"].items()
            if i in here and weights is not None
        }
        self.snapshots = {i: to_device(weights, self._device) for i, weights in kept.items()}
        self.number, self.counts, self.loss = state["number"], dict(state["counts"]), state["loss"]
        self.donors.scores = [list(row) for row in state["donors"]]
        self.stopped = set(state["stopped"])
        self._waits, self._scores = list(state["waits"]), list(state["scores"])
        self._chosen, self._sizes = list(state["chosen"]), list(state["sizes"])
