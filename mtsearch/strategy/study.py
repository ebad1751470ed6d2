"""The Optuna study of a run: proposals by ask and tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import optuna
from optuna.distributions import distribution_to_json
from optuna.search_space import IntersectionSearchSpace
from optuna.trial import Trial

from mtsearch.config.errors import BadInput, nearest
from mtsearch.config.lineage import parent_of
from mtsearch.config.space import Space
from mtsearch.pareto import check_objectives, trial_of
from mtsearch.runs.driven import DrivenRun
from mtsearch.runs.state import RunState, TrialRecord
from mtsearch.strategy import compat
from mtsearch.strategy.children import child_tree, parent_name
from mtsearch.strategy.curve_search import CurveSampler
from mtsearch.strategy.curves import Curves
from mtsearch.strategy.journal import open_study, outcome_of, search_trials
from mtsearch.strategy.points import MAX_DIMENSIONS, configuration_key, grid
from mtsearch.strategy.prior import check_prior
from mtsearch.strategy.proposals import ReplaySampler, TrialSuggest, new_parameters
from mtsearch.strategy.repeats import outcome
from mtsearch.strategy.start import GivenValues, check_start, start_parameters
from mtsearch.strategy.warm_start import read_earlier

optuna.logging.set_verbosity(optuna.logging.ERROR)


class _Start(NamedTuple):
    """An entry of `search.start`: the tree of its trial, and the parameters by name or the
    parent."""

    tree: dict[str, Any]
    values: dict[str, Any]
    parent: TrialRecord | None


class Study:
    """Proposes configurations and receives results.

    A proposal depends on the seed, the number and the trials proposed before; with tpe, nsga2,
    nsga3, gp and curves also on the results so far. Entries of `search.start` come first, in
    their order; one whose parent is running waits for its end. A proposal does not depend on
    the process, or on how often the study was reloaded. No configuration is proposed twice.

    Args:
        run: the study is stored in its journal.
        space: what is searched.
        state: the trials of the run so far.
    """

    def __init__(self, run: DrivenRun, space: Space, state: RunState) -> None:
        self._run, self._space, self._config = run, space, space.config
        trials = self._config.search.trials
        finite = not any(dimension.continuous for dimension in space.dimensions)
        # the number of configurations, at most `search.trials`; None: there are infinitely many
        self._grid = grid(space, trials) if finite else None
        # the parameters that all trials share; each trial is read once
        self._common = IntersectionSearchSpace()
        self._study = open_study(run.journal, self._config, state)
        # Optuna's identifiers by number: listing all trials takes long
        self._ids = [compat.trial_id(trial) for trial in self._study.get_trials(deepcopy=False)]
        self._state = state
        self._known = {self._key(trial.config) for trial in search_trials(state)}
        # those of trials with a parent, which a grid does not count
        self._children = {
            self._key(trial.config) for trial in search_trials(state) if parent_of(trial.config)
        }
        self._curves = CurveSampler(space) if self._config.search.sampler.name == "curves" else None
        if self._curves is not None:
            self._read_curves(state)
        ended = [trial for trial in state.ended if trial.kind == "search" and not trial.repeat]
        for trial in ended:
            self.tell(outcome(state, trial.trial, self._config.search.repeats))

    @property
    def size(self) -> int:
        """The number of search trials: `search.trials`, or fewer where the space has fewer
        configurations."""
        if self._grid is None:
            return self._config.search.trials
        left = max(len(self._grid) - len(self._known - self._children), 0)
        left += sum(entry.parent is not None for entry in self._new_starts())
        return min(self._config.search.trials, len(self._ids) + left)

    @property
    def waits(self) -> bool:
        """Whether the next trial begins with the weights of a trial that is still running."""
        entry = next(self._new_starts(), None)
        parent = None if entry is None else entry.parent
        return parent is not None and parent.state == "running"

    def _new_starts(self) -> Iterator[_Start]:
        """The entries of `search.start` that were not proposed, without those whose parent has not
        begun."""
        for number, entry in enumerate(self._config.search.start):
            name, values = parent_name(entry), {}
            parent = None if name is None else self._state.trials.get(trial_of(name))
            if name is None:
                values = start_parameters(self._space, number)
                tree, _ = self._space.sample(GivenValues(values))
            elif parent is not None:
                network = self._state.find(name) or parent
                tree = child_tree(self._space, number, parent.config, network.config)
            else:
                continue
            if self._key(tree) not in self._known:
                yield _Start(tree, values, parent)

    def _key(self, tree: Mapping[str, Any]) -> bytes:
        """The key of a configuration; a child may have one that its parent makes invalid."""
        try:
            return configuration_key(self._space, tree)
        except BadInput:
            return repr(tree).encode()

    def ask(self) -> TrialRecord:
        """The next configuration; its trial has Optuna's number. Raises RuntimeError where there
        are no new configurations."""
        number = len(self._ids)
        entry = next(self._new_starts(), None)
        if entry is not None and entry.parent is not None:
            return self._ask_child(number, entry.tree)
        known = self._known - self._children
        if self._grid is not None and len(known) >= len(self._grid):
            raise RuntimeError(f"all {len(known)} configurations have been proposed")
        before = compat.study_attrs(self._study)
        sampler = ReplaySampler()
        with compat.quiet():
            self._study.sampler = sampler
            trial = self._study.ask()
            if trial.number != number:
                raise RuntimeError(
                    f"the study {self._run.journal} was changed by another process: trial"
                    f" {trial.number} was created instead of {number}"
                )
            identifier = compat.trial_id(trial)
            sampler.values, key = new_parameters(
                self._study,
                compat.frozen_trial(self._study, identifier),
                self._space,
                self._known,
                self._common,
                self._grid,
                self._curves,
                None if entry is None else entry.values,
            )
            tree, params = self._space.sample(TrialSuggest(trial))
        self._ids.append(identifier)
        self._known.add(key)
        frozen = compat.frozen_trial(self._study, identifier)
        after = compat.study_attrs(self._study).items()
        kept = {
            "params": dict(frozen.params),
            "distributions": {
                name: distribution_to_json(d) for name, d in frozen.distributions.items()
            },
            "system": dict(frozen.system_attrs),
            "shared": {name: value for name, value in after if name not in before},
        }
        if self._curves is not None:
            self._curves.curves.start(number, kept["params"])
        return TrialRecord(f"{number:04d}", "search", None, tree, params, kept)

    def _ask_child(self, number: int, tree: dict[str, Any]) -> TrialRecord:
        """The trial of a configuration with a parent, which has no parameters for the sampler."""
        with compat.quiet():
            self._study.sampler = ReplaySampler()
            identifier = compat.trial_id(self._study.ask())
        key = self._key(tree)
        self._ids.append(identifier)
        self._known.add(key)
        self._children.add(key)
        frozen = compat.frozen_trial(self._study, identifier)
        kept = {
            "params": {},
            "distributions": {},
            "system": dict(frozen.system_attrs),
            "shared": {},
        }
        return TrialRecord(f"{number:04d}", "search", None, tree, {}, kept)

    def _read_curves(self, state: RunState) -> None:
        """Give the sampler the reports of all trials so far; `state` has only some of them."""
        assert self._curves is not None
        read_earlier(self._space, self._curves.curves)
        for trial in filter(_learnable, search_trials(state)):
            self._curves.curves.start(int(trial.trial), trial.study["params"])
        for event in self._run.events():
            if event["event"] == "report":
                self.report(state.trials[event["trial"]], event["metrics"])

    def report(self, trial: TrialRecord, metrics: Mapping[str, Any]) -> None:
        """Receive a report of a trial. Only the sampler `curves` reads it, not that of a repeat."""
        if _learnable(trial) and self._curves is not None:
            self._curves.curves.report(int(trial.trial), metrics)

    def tell(self, trial: TrialRecord) -> None:
        """Store the outcome of a trial that the study proposed (see `outcome`), once it ended; a
        second call changes nothing."""
        if trial.kind != "search" or trial.state == "running":
            return
        number = int(trial.trial)
        if self._curves is not None and _learnable(trial):
            self._curves.curves.end(number, trial.state, trial.result)
        identifier = self._ids[number]
        if compat.frozen_trial(self._study, identifier).state.is_finished():
            return
        outcome = outcome_of(trial, self._config)
        handle = Trial(self._study, identifier)
        for name, value in outcome.user.items():
            handle.set_user_attr(name, value)
        for name, value in outcome.system.items():
            compat.set_trial_attr(self._study, identifier, name, value)
        if outcome.values is None:
            self._study.tell(number, state=outcome.state)
        else:
            self._study.tell(number, outcome.values)


def _learnable(trial: TrialRecord) -> bool:
    """Whether the results of a trial are those of its parameters."""
    return trial.kind == "search" and not trial.repeat and parent_of(trial.config) is None


def check_search(space: Space) -> None:
    """Check that the sampler can search the space. Raises BadInput."""
    check_objectives(space.config.objectives)
    search = space.config.search
    seeds = "confirm" if search.confirm > search.repeats else "repeats"
    if max(search.repeats, search.confirm) > 1 and any(
        dimension.path == "trial.seed" for dimension in space.dimensions
    ):
        raise BadInput(
            f"`search.{seeds}` sets `trial.seed` itself, so that it cannot be searched. Give"
            " `trial.seed` one value."
        )
    if search.scheduler.name == "pareto_asha" and space.trial().population is not None:
        raise BadInput(
            "`search.scheduler = pareto_asha` derives its rungs from the epochs of a trial, and a"
            " population has rounds. Set `search.scheduler = moasha`."
        )
    if search.stop.gpu_hours is not None and not space.config.resources.gpu:
        raise BadInput(
            "`search.stop.gpu_hours` counts the GPUs of trials, and `resources.gpu` is 0. Set"
            " `search.budget` or `search.stop.epochs`."
        )
    sampler = search.sampler
    if sampler.name == "grid":
        grid(space, 1)
    check_prior(space)
    objectives = [o.metric for o in space.config.objectives]
    for name in search.preference:
        if name not in objectives:
            raise BadInput(
                f"`search.preference` has weights of objectives, {', '.join(objectives)}. Found"
                f" `{name}`. {nearest(name, objectives)}"
            )
    check_start(space)
    read_earlier(space, Curves(space.config.objectives, space.config.constraints))
    if sampler.name == "qmc":
        drawn = sum(len(d.spec) - 1 if d.kind == "simplex" else 1 for d in space.dimensions)
        if drawn > MAX_DIMENSIONS:
            raise BadInput(
                f"a `qmc` search draws at most {MAX_DIMENSIONS} numbers per trial. Found {drawn}"
                " dimensions. Set another sampler."
            )
    if sampler.name in ("nsga2", "nsga3") and sampler.startup < 2:
        raise BadInput(
            f"`search.sampler.startup` is the population of {sampler.name} and should be at least"
            f" 2. Found {sampler.startup}."
        )
