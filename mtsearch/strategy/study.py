"""The Optuna study of a run: proposals by ask and tell, in a journal that is rebuilt from the
events when it is lost or damaged."""

from __future__ import annotations

import itertools
import math
import time
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import distribution_to_json, json_to_distribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import Constraint, Objective, SpaceConfig
from mtsearch.config.space import Space
from mtsearch.runs.directory import RunDirectory
from mtsearch.runs.events import cut_torn_line
from mtsearch.runs.state import RunState, TrialRecord
from mtsearch.strategy.points import MAX_DIMENSIONS, PointSampler, grid, qmc_point

optuna.logging.set_verbosity(optuna.logging.ERROR)


class Study:
    """Asks for configurations and is told results. A proposal depends on the seed, the trial's
    number and, for tpe, nsga2, nsga3 and gp, on what was told before; never on the process or on
    how often the study was reloaded."""

    def __init__(self, run: RunDirectory, space: Space, state: RunState) -> None:
        self._run, self._space, self._config = run, space, space.config
        self._grid = (
            list(itertools.islice(grid(space), self._config.search.trials))
            if self._config.search.sampler.name == "grid"
            else None
        )
        self._known = (
            optuna.search_space.IntersectionSearchSpace()
        )  # what all trials have in common; it takes in new ones only
        self._study = self._open(state)
        self._ids = [
            trial._trial_id for trial in self._study.get_trials(deepcopy=False)
        ]  # by number: all trials take long to list
        for trial in state.ended:
            self.tell(trial)

    @property
    def size(self) -> int:
        """How many search trials there are to be: `search.trials`, or fewer where a grid has fewer
        points."""
        return self._config.search.trials if self._grid is None else len(self._grid)

    # ------------------------------------------------------------ ask and tell

    def ask(self) -> TrialRecord:
        """The next configuration, numbered as Optuna numbers it."""
        number = len(self._ids)
        before = self._shared()
        with _quiet():
            self._study.sampler = self._sampler(number)
            trial = self._study.ask()
            if trial.number != number:
                raise RuntimeError(
                    f"the study {self._run.journal} was changed by another process: trial"
                    f" {trial.number} came for {number}"
                )
            tree, params = self._space.sample(_Suggest(trial))
        self._ids.append(trial._trial_id)
        frozen = self._study._storage.get_trial(trial._trial_id)
        kept = {
            "params": dict(frozen.params),
            "distributions": {
                name: distribution_to_json(d) for name, d in frozen.distributions.items()
            },
            "system": dict(frozen.system_attrs),
            "shared": {key: value for key, value in self._shared().items() if key not in before},
        }
        return TrialRecord(f"{number:04d}", "search", None, tree, params, kept)

    def _shared(self) -> dict[str, Any]:
        """What samplers keep with the study: the parents of each generation of nsga2 and nsga3."""
        return dict(self._study._storage.get_study_system_attrs(self._study._study_id))

    def tell(self, trial: TrialRecord) -> None:
        """Settle a trial that ended: its objectives and constraints when it is done, FAIL
        otherwise."""
        if trial.kind != "search":
            return
        number = int(trial.trial)
        identifier = self._ids[number]
        if self._study._storage.get_trial(identifier).state.is_finished():
            return
        if trial.state == "stopped":
            handle = optuna.trial.Trial(self._study, identifier)
            for key, value in _stopped_attrs(trial, self._config.objectives).items():
                handle.set_user_attr(key, value)
            self._study.tell(number, state=TrialState.PRUNED)
            return
        values = (
            objective_values(self._config.objectives, trial.result)
            if trial.state == "done"
            else None
        )
        violations = constraint_values(self._config.constraints, trial.result)
        handle = optuna.trial.Trial(self._study, identifier)
        if values is None or any(v is None for v in violations.values()):
            handle.set_user_attr(
                "reason", trial.reason or "an objective or constraint is missing or not finite"
            )
            self._study.tell(number, state=TrialState.FAIL)
            return
        for name, value in violations.items():
            handle.set_user_attr(name, value)
        for name, listed in _constraint_attrs(violations).items():
            self._study._storage.set_trial_system_attr(identifier, name, listed)
        self._study.tell(number, values)

    # ------------------------------------------------------------ samplers

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        """A fresh sampler per ask, seeded by (seed, number): Optuna's own streams would restart
        when a study is reloaded."""
        search = self._config.search
        seed = int(np.random.SeedSequence([search.seed, number]).generate_state(1)[0])
        name, startup = search.sampler.name, search.sampler.startup
        if name == "grid":
            assert self._grid is not None
            return PointSampler(self._grid[number], indices=True)
        if name == "qmc":
            return PointSampler(qmc_point(search.seed, number))
        if name == "random":
            return optuna.samplers.RandomSampler(seed=seed)
        if name == "tpe":
            return optuna.samplers.TPESampler(
                n_startup_trials=startup,
                multivariate=True,
                group=True,
                constant_liar=True,
                seed=seed,
            )
        if name == "gp":
            return optuna.samplers.GPSampler(
                n_startup_trials=startup, independent_sampler=None, seed=seed
            )
        genetic = (
            optuna.samplers.NSGAIISampler if name == "nsga2" else optuna.samplers.NSGAIIISampler
        )
        made = genetic(population_size=startup, seed=seed)
        made._search_space = self._known  # its own would be made again from all trials
        return made

    # ------------------------------------------------------------ the journal

    def _open(self, state: RunState) -> optuna.Study:
        """The study in the journal if it tells the same story as the events, else a new one made
        from the events."""
        path = self._run.journal
        if path.exists():
            cut_torn_line(path)
            study = self._load()
            if study is not None and self._agrees(study, state):
                return study
            path.rename(path.with_name(f"study.journal.damaged-{time.time_ns()}"))
        study = self._load()
        assert study is not None
        for trial in state.sorted():
            if trial.kind == "search":
                study.add_trial(self._frozen(trial))
                for key, value in trial.study["shared"].items():
                    study._storage.set_study_system_attr(study._study_id, key, value)
        return study

    def _load(self) -> optuna.Study | None:
        with _quiet():
            try:
                storage = JournalStorage(JournalFileBackend(str(self._run.journal)))
                if (
                    storage.get_all_studies()
                ):  # asking to create it would write to the journal even so
                    return optuna.load_study(study_name=self._config.name, storage=storage)
                return optuna.create_study(
                    storage=storage,
                    study_name=self._config.name,
                    directions=[
                        "minimize" if o.goal == "min" else "maximize"
                        for o in self._config.objectives
                    ],
                )
            except (
                Exception
            ):  # any damage there may be: the events are the truth, the journal is not
                if self._run.journal.stat().st_size == 0:
                    raise
                return None

    @staticmethod
    def _agrees(study: optuna.Study, state: RunState) -> bool:
        known = [trial for trial in state.sorted() if trial.kind == "search"]
        stored = study.get_trials(deepcopy=False)
        return len(known) == len(stored) and all(
            frozen.params == trial.study["params"]
            and not (frozen.state.is_finished() and trial.state == "running")
            for frozen, trial in zip(stored, known, strict=True)
        )

    def _frozen(self, trial: TrialRecord) -> optuna.trial.FrozenTrial:
        kept = trial.study
        values = (
            objective_values(self._config.objectives, trial.result)
            if trial.state == "done"
            else None
        )
        violations = constraint_values(self._config.constraints, trial.result)
        complete = values is not None and all(v is not None for v in violations.values())
        state = TrialState.COMPLETE if complete else _STATES.get(trial.state, TrialState.FAIL)
        with _quiet():
            return optuna.trial.create_trial(
                state=state,
                values=values if state == TrialState.COMPLETE else None,
                params=kept["params"],
                distributions={
                    name: json_to_distribution(text) for name, text in kept["distributions"].items()
                },
                system_attrs={
                    **kept["system"],
                    **(_constraint_attrs(violations) if state == TrialState.COMPLETE else {}),
                },
                user_attrs=(
                    {"reason": trial.reason}
                    if state == TrialState.FAIL
                    else (
                        _stopped_attrs(trial, self._config.objectives)
                        if state == TrialState.PRUNED
                        else violations
                        if state == TrialState.COMPLETE
                        else {}
                    )
                ),
            )


def _constraint_attrs(violations: Mapping[str, float | None]) -> dict[str, Any]:
    """Constraints as optuna-dashboard (0.21) reads them: one list without names, as before
    `set_constraint`, which Optuna reads as well."""
    return {"constraints": list(violations.values())} if violations else {}


_STATES = {"running": TrialState.RUNNING, "stopped": TrialState.PRUNED}


def _stopped_attrs(trial: TrialRecord, objectives: tuple[Objective, ...]) -> dict[str, Any]:
    """What the study keeps of a stopped trial. Optuna takes no values of it, and a part of a
    training is none of the whole's."""
    return {
        "reason": trial.reason,
        **{f"partial {o.metric}": trial.result.get(o.metric) for o in objectives},
    }


class _Suggest:
    """`config.dimensions.Suggest` over an Optuna trial."""

    def __init__(self, trial: optuna.Trial) -> None:
        self._trial = trial

    def categorical(self, name: str, choices: list[Any]) -> Any:
        return self._trial.suggest_categorical(name, choices)

    def uniform(self, name: str, low: float, high: float, log: bool = False) -> float:
        return self._trial.suggest_float(name, low, high, log=log)

    def integer(self, name: str, low: int, high: int) -> int:
        return self._trial.suggest_int(name, low, high)


def objective_values(
    objectives: tuple[Objective, ...], metrics: Mapping[str, Any]
) -> list[float] | None:
    """The objectives in their order; None when one is missing or not finite."""
    values = [metrics.get(o.metric) for o in objectives]
    return [float(v) for v in values if v is not None] if all(_finite(v) for v in values) else None


def constraint_values(
    constraints: tuple[Constraint, ...], metrics: Mapping[str, Any]
) -> dict[str, float | None]:
    """By how much each bound is exceeded (at most 0 where it holds); None where its metric is
    missing or not finite."""
    found: dict[str, float | None] = {}
    for constraint in constraints:
        value = metrics.get(constraint.metric)
        sign, bound = (
            (1.0, constraint.max) if constraint.max is not None else (-1.0, constraint.min)
        )
        assert bound is not None
        name = f"{constraint.metric} {'<=' if sign > 0 else '>='} {bound:g}"
        found[name] = (
            sign * (float(value) - bound) if value is not None and _finite(value) else None
        )
    return found


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def check_search(space: Space) -> None:
    """Refuse what no sampler can do, before anything starts. Raises BadInput."""
    config: SpaceConfig = space.config
    sampler = config.search.sampler
    if sampler.name == "grid":
        next(grid(space))
    if sampler.name == "qmc":
        drawn = sum(len(d.spec) - 1 if d.kind == "simplex" else 1 for d in space.dimensions)
        if drawn > MAX_DIMENSIONS:
            raise BadInput(
                f"a `qmc` search draws at most {MAX_DIMENSIONS} numbers a trial. Found {drawn}"
                " dimensions. Set another sampler."
            )
    if sampler.name in ("nsga2", "nsga3") and sampler.startup < 2:
        raise BadInput(
            f"`search.sampler.startup` is the population of {sampler.name} and should be at least"
            f" 2. Found {sampler.startup}."
        )


def _quiet() -> warnings.catch_warnings:  # type: ignore[type-arg]
    """Optuna warns on every use of what it calls experimental."""
    return warnings.catch_warnings(action="ignore")  # type: ignore[call-overload,no-any-return]
