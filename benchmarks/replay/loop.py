"""One replayed search: the product's sampler and scheduler on a table of learning curves."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
from optuna.search_space import IntersectionSearchSpace

from mtsearch.config.schema import Objective
from mtsearch.config.search import Sampler, Scheduler
from mtsearch.strategy import compat
from mtsearch.strategy.curve_search import CurveSampler
from mtsearch.strategy.proposals import ReplaySampler, TrialSuggest, new_parameters
from mtsearch.strategy.scheduling import new_scheduler
from replay.peer import PEERS, replay_peer

optuna.logging.set_verbosity(optuna.logging.ERROR)
FULL = (5, 10, 20, 40)  # full trainings after which the hypervolume is measured
METHODS: dict[str, dict[str, Any]] = {
    "curves+moasha": {"sampler": {"name": "curves"}, "scheduler": {"name": "moasha"}},
    "curves": {"sampler": {"name": "curves"}},
    "random": {"sampler": {"name": "random"}},
    "tpe": {"sampler": {"name": "tpe"}},
    # Optuna's own loop, in which one random stream goes through the search
    "optuna-tpe": {"sampler": {"name": "tpe"}, "stream": True},
    "random+moasha": {"sampler": {"name": "random"}, "scheduler": {"name": "moasha"}},
    "curves+pareto_asha": {
        "sampler": {"name": "curves"},
        "scheduler": {"name": "pareto_asha"},
    },
    "nsga2": {"sampler": {"name": "nsga2"}},
    "gp": {"sampler": {"name": "gp"}},
    "tpe+moasha": {"sampler": {"name": "tpe"}, "scheduler": {"name": "moasha"}},
    "optuna-tpe+moasha": {
        "sampler": {"name": "tpe"},
        "scheduler": {"name": "moasha"},
        "stream": True,
    },
}


class _Values(dict):
    """The parameters of a trial, with the one method of a configuration that a key needs."""

    def model_dump(self, mode: str) -> dict[str, Any]:
        """The parameters."""
        return dict(self)


class TableSpace:
    """What the sampler reads of a `Space`, for a table's dimensions."""

    def __init__(self, table: Any, sampler: Sampler, seed: int) -> None:
        self.dimensions = table.dimensions
        self._round = set(table.whole)
        objectives = tuple(Objective(metric=name, goal="min") for name in table.objectives)
        search = SimpleNamespace(
            sampler=sampler, seed=seed, prior={}, preference={}, start=(), earlier=()
        )
        self.config = SimpleNamespace(objectives=objectives, constraints=(), search=search)

    def sample(self, suggest: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """One configuration, as a tree and as parameters, which are the same here."""
        drawn = {one.path: one.draw(suggest) for one in self.dimensions}
        return {k: round(v) if k in self._round else v for k, v in drawn.items()}, drawn

    def trial(self, tree: dict[str, Any]) -> _Values:
        """The configuration, whose key is that of its values."""
        return _Values(tree)


Replayed = tuple[list[tuple[int, np.ndarray]], int, float]
"""The epochs spent and the objectives of each finished trial, the number of trials begun, and the
mean CPU time of the last 20 proposals in milliseconds."""


def replay(
    table: Any, method: str, seed: int, full: int = max(FULL), environments: Path | None = None
) -> dict[str, Any]:
    """Search a table with one slot until the epochs of `full` full trainings are used.

    Args:
        environments: the folder with the environments of the methods of `PEERS`.

    Returns:
        `hypervolume` and `bounded` (see `LCBench.hypervolume`) of the finished trials by number of
        full trainings, `begun` and `finished` trials, `ask_ms`, the mean CPU time of the last 20
        proposals in milliseconds, and `results`: the epochs spent and the objectives of each
        finished trial.
    """
    if method in PEERS:
        if environments is None:
            raise ValueError(f"{method} needs `peers=FOLDER`")
        finished, begun, ask_ms = replay_peer(table, method, seed, environments, full)
    else:
        with compat.quiet():
            finished, begun, ask_ms = _replay(table, METHODS[method], seed, full)
    reached = {
        str(n): np.array([v for end, v in finished if end <= n * table.epochs]).reshape(-1, 3)
        for n in FULL
        if n <= full
    }
    return {
        "hypervolume": {n: table.hypervolume(values) for n, values in reached.items()},
        "bounded": {n: table.hypervolume(values, True) for n, values in reached.items()},
        "begun": begun,
        "finished": len(finished),
        "ask_ms": ask_ms,
        "results": [[end, *np.round(values, 6).tolist()] for end, values in finished],
    }


def _replay(table: Any, settings: dict[str, Any], seed: int, full: int) -> Replayed:
    space = TableSpace(table, Sampler(**settings["sampler"]), seed)
    scheduler = Scheduler(**settings.get("scheduler", {"name": "none"}))
    curves = CurveSampler(space) if settings["sampler"]["name"] == "curves" else None
    judge = new_scheduler(scheduler, table.epochs, space.config.objectives)
    study = optuna.create_study(directions=["minimize"] * len(table.objectives))
    stream = optuna.samplers.TPESampler(
        n_startup_trials=space.config.search.sampler.startup,
        multivariate=True,
        group=True,
        constant_liar=True,
        seed=seed,
    )
    common, known = IntersectionSearchSpace(), set()
    spent, budget, asks = 0, full * table.epochs, []
    finished: list[tuple[int, np.ndarray]] = []
    number = 0
    while spent < budget:
        began = time.process_time()
        study.sampler = replayed = ReplaySampler()
        if settings.get("stream"):
            study.sampler = stream
        trial = study.ask()
        if study.sampler is replayed:
            frozen = compat.frozen_trial(study, compat.trial_id(trial))
            replayed.values, key = new_parameters(study, frozen, space, known, common, None, curves)
            known.add(key)
        tree, _ = space.sample(TrialSuggest(trial))
        if curves is not None:
            curves.curves.start(number, trial.params)
        asks.append(time.process_time() - began)
        curve, state = table.curve(tree), optuna.trial.TrialState.PRUNED
        for epoch in range(1, min(table.epochs, budget - spent) + 1):
            report = {"report": epoch, **dict(zip(table.objectives, curve[epoch - 1], strict=True))}
            spent += 1
            if curves is not None:
                curves.curves.report(number, report)
            if epoch == table.epochs:
                finished.append((spent, curve[-1]))
                state = optuna.trial.TrialState.COMPLETE
            elif judge is not None and judge.judge(str(number), [report]) is not None:
                break
        done = state == optuna.trial.TrialState.COMPLETE
        study.tell(trial, curve[-1].tolist() if done else None, state=state)
        if curves is not None:
            curves.curves.end(number, "done" if done else "stopped", report)
        number += 1
    return finished, number, 1e3 * statistics.mean(asks[-20:])
