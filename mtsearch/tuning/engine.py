"""A search from start to end: Ray, the trials, the test of the front, the tables."""

from __future__ import annotations

import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from ray import tune
from rich.console import Console

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig
from mtsearch.config.space import Space
from mtsearch.tuning.checks import check_space
from mtsearch.tuning.cluster import Cluster, cluster
from mtsearch.tuning.environment import check_plugins, concrete_data, environment_of
from mtsearch.tuning.finish import conclude, halted
from mtsearch.tuning.job import TRIAL_CLASS
from mtsearch.tuning.joining import check_shared
from mtsearch.tuning.ledger import Ledger
from mtsearch.tuning.live import Display
from mtsearch.tuning.observers.watch import watching
from mtsearch.tuning.recorder import Recorder
from mtsearch.tuning.remarks import remarks
from mtsearch.tuning.remote import RemoteRun, check_results, create_run, open_run
from mtsearch.tuning.rundir import PLACES, RunDirectory
from mtsearch.tuning.searcher import JobSearcher
from mtsearch.tuning.slots import bundle, slots
from mtsearch.tuning.storage import is_url
from mtsearch.tuning.trainable import TrialActor

DONE, UNFINISHED, INTERRUPTED = 0, 1, 130  # exit codes


def run(
    space: Space,
    *,
    name: str,
    profile: str | None = None,
    overrides: tuple[str, ...] = (),
    trial_class: str = TRIAL_CLASS,
    console: Console | None = None,
) -> int:
    """Search a space and return the exit code. `name`, `profile` and `overrides` are how the space was given; rows' commands repeat them.

    Raises BadInput before Ray starts where the space, its data or its resources cannot be had.
    """
    console = console or Console()
    check_space(space)
    check_results(space)
    data, environment = environment_of(space)
    with cluster() as connection:
        slots(space.config, connection.nodes)
        root = space.config.results.root
        check_shared(None if is_url(root) else root, root=data.root, store=data.store)
        directory = create_run(space, environment, name=name, profile=profile, overrides=overrides)
        with directory.driver_lock():
            return _drive(directory, space, data, connection, trial_class, console)


def resume(path: str | Path, changes: dict[str, Any], *, trial_class: str = TRIAL_CLASS, console: Console | None = None) -> int:
    """Go on with a run: finished trials are skipped, unfinished ones continue from their last state, the study is the same.

    `changes` may hold `search.trials`, `search.budget` and `search.slots`, and `data.root`, `data.store` and `plugins`, which say where
    this machine has the data and the plug-ins and are not kept. Where nothing is left to do nothing is changed. Raises BadInput.
    """
    console = console or Console()
    directory = open_run(path, changes.get("plugins"), "resume")
    with directory.driver_lock():
        places = {key: value for key, value in changes.items() if key in PLACES}
        changes = {key: value for key, value in changes.items() if key not in PLACES and _get(directory.config, key) != value}
        space = directory.space_with(changes)
        begun = sum(trial.kind == "search" for trial in directory.record().trials.values())
        if "search.trials" in changes and space.config.search.trials < begun:
            raise BadInput(
                f"`search.trials` should be at least {begun}, the trials that the run has begun. Found {space.config.search.trials}. Leave "
                "it out to go on with the run as it is."
            )
        check_space(space)
        check_plugins(space, directory.environment)
        data = concrete_data(directory.space_with({**changes, **places}), directory.environment)
        if changes:
            directory.log.append("resume", changes=changes)
        ledger = Ledger(directory, space, data)
        if not ledger.pending and not ledger.to_test():
            return conclude(ledger, console)
        with cluster() as connection:
            check_shared(None if isinstance(directory, RemoteRun) else directory.path, root=data.root, store=data.store)
            if not changes:
                directory.log.append("resume", changes={})
            return _drive(directory, space, data, connection, trial_class, console)


def _get(config: Any, key: str) -> Any:
    for part in key.split("."):
        config = getattr(config, part)
    return config


def _drive(directory: RunDirectory, space: Space, data: DataConfig, connection: Cluster, trial_class: str, console: Console) -> int:
    ledger = Ledger(directory, space, data)
    at_once = slots(space.config, connection.nodes)
    banner(console, ledger, at_once, connection)
    with interruptible() as interrupt:
        try:
            with Display(ledger, at_once, console) as display, watching(ledger, display.note) as watch:
                _work(ledger, at_once, trial_class, Recorder(ledger, display, watch, interrupt))
        except KeyboardInterrupt:
            conclude(ledger, console, interrupted=True)
            return UNFINISHED if directory.trouble else INTERRUPTED
        except Exception:  # Tune has its own for what its callbacks raise
            if ledger.halted is None:
                raise
            return halted(ledger.run, ledger.halted, console)
        return conclude(ledger, console)


def banner(console: Console, ledger: Ledger, at_once: int, connection: Cluster) -> None:
    """One block at the start: what is really trained, on what, where."""
    config = ledger.space.config
    finished, controls = len(ledger.record.trials) - len(ledger.record.running), len(ledger.space.controls)
    lines = [
        f"space      {config.name}: {', '.join(o.metric for o in config.objectives)}",
        f"data       {ledger.run.environment['dataset']}",
        f"trials     {ledger.study.size} by {config.search.sampler.name} and {controls} control{'s' * (controls != 1)}, {at_once} at once"
        + (f"; {finished} of them finished" if finished else ""),
        *remarks(ledger.space, at_once, connection.nodes),
        f"run        {ledger.run.place}",
        f"dashboard  {connection.dashboard}",
    ]
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def _work(ledger: Ledger, at_once: int, trial_class: str, recorder: Recorder) -> None:
    """Train what is to be trained, then test the front and the controls, in the same actors."""
    config = ledger.space.config
    scratch = tempfile.mkdtemp(prefix="mtsearch-")
    # A group's workers bring a placement group of their own; its actor only waits.
    wanted = bundle(config) if config.workers == 1 else {"memory": 1.0}
    try:
        tune.run(
            tune.with_resources(TrialActor, tune.PlacementGroupFactory([wanted])),
            name="search",
            storage_path=scratch,
            search_alg=JobSearcher(ledger, trial_class),
            scheduler=recorder.scheduler,
            num_samples=-1,
            max_concurrent_trials=at_once,
            max_failures=config.search.max_failures,
            reuse_actors=True,
            callbacks=[recorder],
            raise_on_failed_trial=False,
            trial_dirname_creator=lambda trial: str(trial.config["trial"]),
            verbose=0,
        )
    except BaseException:
        recorder.kill()
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """An event that the first SIGINT or SIGTERM sets; the second one interrupts at once. Only the main thread can take signals."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def stop(number: int, frame: FrameType | None) -> None:
        event.set()
        signal.signal(number, signal.default_int_handler)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
