"""A search from start to end: Ray, the trials, the test of the front, the tables."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from ray import cloudpickle, tune
from rich.console import Console

from mtsearch.config.errors import BadInput
from mtsearch.config.objects import PREFIX, all_objects
from mtsearch.config.schema import Search
from mtsearch.config.space import Space
from mtsearch.config.temporary import remove_temporary, temporary_folder
from mtsearch.execution.callback import TuneCallback
from mtsearch.execution.checks import check_space
from mtsearch.execution.cluster import Cluster, cluster
from mtsearch.execution.gpu_share import with_gpu_share
from mtsearch.execution.joining import check_shared_folders
from mtsearch.execution.metrics import RayMetrics
from mtsearch.execution.needs import check_memory
from mtsearch.execution.remarks import remarks
from mtsearch.execution.searcher import JobSearcher
from mtsearch.execution.slots import bundle, gpus, local_nodes, slots
from mtsearch.execution.trial_actor import TrialActor
from mtsearch.execution.watch import ClusterWatch
from mtsearch.jobs.conclusion import INTERRUPTED, conclude, halted, resume_command, say
from mtsearch.jobs.description import TRIAL_CLASS
from mtsearch.jobs.environment import check_plugins, concrete_data, environment_of
from mtsearch.jobs.interruption import interrupt_event
from mtsearch.observers.dispatcher import dispatch_events
from mtsearch.reporting.console import INDENT, OutputConsole, print_line
from mtsearch.reporting.live import Display
from mtsearch.runs.directory import PLACES, refuse_fixed
from mtsearch.runs.driven import DrivenRun
from mtsearch.runs.object_store import is_url
from mtsearch.runs.opening import check_results, create_run, open_run
from mtsearch.strategy.children import check_added
from mtsearch.strategy.controls import control_trials
from mtsearch.strategy.manager import TrialManager
from mtsearch.strategy.stop_rules import described

STARTING = "starting Ray ..."


def run(
    space: Space,
    *,
    name: str,
    profile: str | None = None,
    overrides: tuple[str, ...] = (),
    trial_class: str = TRIAL_CLASS,
    console: Console | None = None,
    created: Callable[[DrivenRun], object] = lambda run: None,
) -> int:
    """Search a space and return the exit code.

    Raises BadInput before Ray starts where the space, its data or its resources cannot be used.

    Args:
        space: what is searched.
        name, profile, overrides: how the space was given; the commands of rows repeat them.
        trial_class: ``module:Class`` of the trials, see `mtsearch.jobs.job.trial_class_of`.
        console: takes the output; None prints to standard output.
        created: is called with the run once its directory exists.
    """
    console = console or OutputConsole()
    check_space(space)
    check_results(space)
    _objects_of(space)
    data, environment = environment_of(space)
    here = local_nodes()
    if here is not None and not space.config.resources.gpu:  # else its memory is not known
        check_memory(space, data, slots(space.config, here))
    say(console, STARTING)
    with interrupt_event() as interrupt, cluster() as connection:
        if interrupt.is_set():
            raise KeyboardInterrupt
        shared = with_gpu_share(space, data, connection.nodes)
        slots(shared.config, connection.nodes)
        root = space.config.results.root
        check_shared_folders(None if is_url(root) else root, root=data.root, store=data.store)
        directory = create_run(space, environment, name=name, profile=profile, overrides=overrides)
        created(directory)
        with directory:
            manager = TrialManager(directory, shared, data)
            return _Drive(manager, connection, trial_class, console, interrupt).run()


def resume(
    path: str | Path,
    changes: dict[str, Any],
    *,
    trial_class: str = TRIAL_CLASS,
    console: Console | None = None,
) -> int:
    """Continue a run: finished trials are skipped, unfinished ones continue from their last state,
    and the study makes the same proposals.

    `changes` may contain `search.trials`, `search.budget`, `search.slots`, `search.confirm`, the
    rules of `search.stop` and `search.start`, whose new entries follow the present ones, and
    `data.root`, `data.store` and `plugins`, which say where this machine has the data and the
    plug-ins and are not recorded. Where nothing is left to do, nothing is changed. Raises
    BadInput.
    """
    console = console or OutputConsole()
    refuse_fixed(changes)
    found = open_run(path, changes.get("plugins"), "resume")
    if found.single:
        raise BadInput(
            f"{found.address} contains a single training. Continue it: {resume_command(found)}"
        )
    with found.drive() as directory:
        places = {key: value for key, value in changes.items() if key in PLACES}
        changes = {
            key: value
            for key, value in changes.items()
            if key not in PLACES and _get(directory.config, key) != value
        }
        space = directory.space_with(changes)
        begun = directory.state().kinds["search"]
        check_added(directory.config.search, space.config.search, begun)
        if "search.trials" in changes and space.config.search.trials < begun:
            raise BadInput(
                f"`search.trials` should be at least {begun}, the trials that the run has begun."
                f" Found {space.config.search.trials}. Leave it out to continue the run as it is."
            )
        check_space(space)
        check_plugins(space, directory.environment)
        data = concrete_data(directory.space_with({**changes, **places}), directory.environment)
        if changes:
            directory.log.append("resume", changes=changes)
        manager = TrialManager(directory, space, data)
        if not manager.pending and not manager.to_test():
            return _conclude(manager, console)
        say(console, STARTING)
        with interrupt_event() as interrupt, cluster() as connection:
            check_shared_folders(directory.storage.shared_folder, root=data.root, store=data.store)
            if not changes:
                directory.log.append("resume", changes={})
            manager = TrialManager(directory, with_gpu_share(space, data, connection.nodes), data)
            directory.forget_state()  # the manager has a state of its own, with fewer reports
            return _Drive(manager, connection, trial_class, console, interrupt).run()


def _get(config: Any, key: str) -> Any:
    for part in key.split("."):
        config = getattr(config, part)
    return config.model_dump() if isinstance(config, BaseModel) else config


@dataclass
class _Drive:
    """One driver's work on a run: the search, and its end in every case."""

    manager: TrialManager
    connection: Cluster
    trial_class: str
    console: Console
    interrupt: threading.Event

    def run(self) -> int:
        """Search and conclude. Returns the exit code."""
        try:
            return self._search()
        except KeyboardInterrupt:
            # The second signal, also while the tables are written; later ones are ignored.
            self.manager.run.log.close()
            command = resume_command(self.manager.run)
            say(self.console, f"interrupted; its tables are missing. Continue with: {command}")
            say(self.console, f"run: {self.manager.run.address}")
            return INTERRUPTED

    def _search(self) -> int:
        config, manager = self.manager.space.config, self.manager
        at_once = slots(config, self.connection.nodes)
        banner(self.console, manager, at_once, self.connection)
        objectives = tuple(o.metric for o in config.objectives)
        metrics = RayMetrics(manager.run.title, manager.total, objectives)
        try:
            with (
                ClusterWatch(self._halted).watching(),
                Display(manager, at_once, self.console) as display,
                dispatch_events(manager, display.note, metrics) as dispatcher,
            ):
                callback = TuneCallback(manager, display, dispatcher, self.interrupt)
                _work(manager, at_once, self.trial_class, callback)
        except KeyboardInterrupt:
            return _conclude(manager, self.console, interrupted=True)
        except Exception:  # Tune has classes of its own for what its callbacks raise
            if manager.halted is None:
                raise
            return self._halted(manager.halted)
        return _conclude(manager, self.console)

    def _halted(self, reason: str) -> int:
        return halted(self.manager.run, reason, self.console)


def _conclude(manager: TrialManager, console: Console, *, interrupted: bool = False) -> int:
    note = None
    reason, proposed = manager.rules.reason, manager.proposed
    if reason is not None and proposed < manager.study.size and not manager.budget_spent:
        note = f"{reason}, after {proposed} trials."
    elif proposed < manager.study.size:
        note = (
            f"`search.budget` is used up after {proposed} of {manager.study.size} trials; a"
            " resume may raise it."
        )
    elif manager.study.size < manager.space.config.search.trials:
        note = exhausted(manager.space, manager.study.size)
    return conclude(
        manager.run,
        manager.space,
        console,
        interrupted=interrupted,
        unfinished=manager.unfinished,
        note=note,
    )


def exhausted(space: Space, count: int) -> str:
    """A line about a space that has fewer configurations than `search.trials`."""
    return (
        f"the space has {count} different configurations, so the search has {count} trials instead"
        f" of `search.trials` = {space.config.search.trials}. Search `trial.seed` to repeat them."
    )


def banner(console: Console, manager: TrialManager, at_once: int, connection: Cluster) -> None:
    """One block at the start: what is really trained, on what, where."""
    config = manager.space.config
    finished, controls = (
        len(manager.state.trials) - len(manager.state.running),
        len(control_trials(manager.space)),
    )
    lines = [
        f"space      {config.name}: {', '.join(o.metric for o in config.objectives)}",
        f"data       {manager.run.environment['dataset']}",
        *([f"stops      {rules}"] if (rules := described(config)) else []),
        f"trials     {manager.study.size} by {config.search.sampler.name} and {controls}"
        f" control{'s' * (controls != 1)}, {seeds(config.search)}, {at_once} at once"
        + (f"; {finished} of them finished" if finished else ""),
        *(
            [f"gpu        {gpus(config):g} a trial, by `resources.gpu: auto`"]
            if manager.run.config.resources.gpu == "auto"
            else []
        ),
        *remarks(manager.space, at_once, connection.nodes),
        f"run        {manager.run.location}",
        f"dashboard  {connection.dashboard}",
    ]
    for line in lines:
        print_line(console, line, INDENT)


def seeds(search: Search) -> str:
    """With how many seeds a search trains, in words."""
    found = "one seed each" if search.repeats == 1 else f"{search.repeats} seeds each"
    if search.confirm > search.repeats:
        found += f" ({search.confirm} for the front and the controls)"
    return found


def _trainable(manager: TrialManager) -> Any:
    """The class of the trial actors, with the objects that the configuration names."""
    objects = _objects_of(manager.space)
    return tune.with_parameters(TrialActor, objects=objects) if objects else TrialActor


def _objects_of(space: Space) -> dict[str, Any]:
    """The objects that a configuration names, which the user gave from Python. Raises BadInput if
    they cannot be sent to the processes of trials."""
    text = json.dumps(space.raw, default=str, ensure_ascii=False)
    objects = {name: value for name, value in all_objects().items() if name in text}
    for name, value in objects.items():
        try:
            cloudpickle.dumps(value)  # type: ignore[no-untyped-call]
        except Exception as error:  # of the user's own classes
            raise BadInput(
                f"`model` cannot be sent to the processes of trials: {name.removeprefix(PREFIX)}"
                f" cannot be pickled ({' '.join(str(error).split())[:200]}). Give the name of a"
                " function, FILE.py:FUNCTION."
            ) from error
    return objects


def _work(manager: TrialManager, at_once: int, trial_class: str, callback: TuneCallback) -> None:
    """Train all trials, then test the front and the controls in the same actors."""
    config = manager.space.config
    scratch = temporary_folder("tune")
    # A worker group has a placement group of its own; its actor only waits.
    wanted = bundle(config) if config.workers == 1 else {"memory": 1.0}
    try:
        tune.run(
            tune.with_resources(_trainable(manager), tune.PlacementGroupFactory([wanted])),
            name="search",
            storage_path=str(scratch),
            search_alg=JobSearcher(manager, trial_class),
            scheduler=callback.scheduler,
            num_samples=-1,
            max_concurrent_trials=at_once,
            max_failures=config.search.max_failures,
            reuse_actors=True,
            callbacks=[callback],
            raise_on_failed_trial=False,
            trial_dirname_creator=lambda trial: str(trial.config["trial"]),
            verbose=0,
        )
    except BaseException:
        callback.kill()
        raise
    finally:
        remove_temporary(scratch)
