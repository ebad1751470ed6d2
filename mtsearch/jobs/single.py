"""A single training in this process: a run of one trial, without Ray."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mtsearch.config.errors import BadInput, Halt
from mtsearch.config.schema import DataConfig
from mtsearch.config.space import Space
from mtsearch.jobs.conclusion import conclude, halted, resume_command, say
from mtsearch.jobs.description import JobDescription, Purpose
from mtsearch.jobs.interruption import raise_on_interrupt
from mtsearch.jobs.job import Job
from mtsearch.pareto import DerivedMetrics
from mtsearch.reporting.console import OutputConsole
from mtsearch.reporting.many_tasks import grouped_metrics
from mtsearch.runs.driven import DrivenRun
from mtsearch.runs.messages import StepResult
from mtsearch.runs.names import check_control_names
from mtsearch.runs.opening import check_results, create_run, open_run
from mtsearch.runs.points import point_text
from mtsearch.runs.state import TrialRecord


def train(
    space: Space,
    *,
    name: str,
    profile: str | None = None,
    overrides: Sequence[str] = (),
    test: bool = False,
    console: Console | None = None,
    created: Callable[[DrivenRun], object] = lambda run: None,
) -> int:
    """Train one configuration, a space's only control or else its defaults, in a new run; with
    `test` read the test split at the end.

    Returns:
        The exit code.

    Raises:
        BadInput: the configuration, its data or the run directory cannot be used. Nothing has been
            created then.
    """
    _prepare_process(space)
    from mtsearch.jobs.environment import environment_of  # imports torch

    _check_device(space)
    check_results(space)
    check_control_names(space.controls)
    data, environment = environment_of(space, _config_path(space))
    environment["test"] = test  # so that a resume does what an uninterrupted training does
    run = create_run(
        space, environment, name=name, profile=profile, overrides=overrides, single=True
    )
    created(run)
    with run:
        return _drive(run, space, data, console or OutputConsole(), test)


def resume(
    path: str | Path,
    places: Mapping[str, Any],
    console: Console | None = None,
    test: bool = False,
) -> int:
    """Continue a single training from the state after its last report, with the same results as
    without the interruption.

    Args:
        path: folder or URL of the run.
        places: `data.root`, `data.store` and `plugins`, if they have moved since the run.
        console: receives the lines.
        test: whether the test split is read at the end, also of a training that has ended; a
            training that began with it keeps it.

    Returns:
        The exit code.

    Raises:
        BadInput: the run is a search, or the training has failed.
    """
    found = open_run(path, places.get("plugins"), "resume")
    if not found.single:
        raise BadInput(f"{found.address} contains a search. Continue it: {resume_command(found)}")
    with found.drive() as run:
        space = run.space_with(places)
        _prepare_process(space)
        from mtsearch.jobs.environment import check_plugins, concrete_data  # imports torch

        _check_device(space)
        check_plugins(space, run.environment)
        known = run.state().trials.get(_name(space))
        if known is not None and known.state == "failed":
            raise BadInput(
                f"the training in {run.address} has failed: {str(known.reason).rstrip('.')}. Train"
                f" it again: {run.rows()[0]['command']}"
            )
        return _drive(
            run,
            space,
            concrete_data(space, run.environment, _config_path(space)),
            console or OutputConsole(),
            test or bool(run.environment.get("test", False)),
        )


def _name(space: Space) -> str:
    return next(iter(space.controls), "0000")


def _config_path(space: Space) -> str:
    return f"controls.{_name(space)}" if space.controls else "trial"


def _tree(space: Space) -> dict[str, Any]:
    return space.controls[_name(space)] if space.controls else space.defaults


def _prepare_process(space: Space) -> None:
    # Set before torch is imported, because OpenMP reads it once.
    os.environ["OMP_NUM_THREADS"] = str(space.trial(_tree(space)).threads)


def _check_device(space: Space) -> None:
    import torch

    if space.trial(_tree(space)).device == "cuda" and not torch.cuda.is_available():
        raise BadInput(
            "`trial.device` is cuda, but torch finds no usable GPU here. Set trial.device=cpu or"
            " auto."
        )


def _drive(run: DrivenRun, space: Space, data: DataConfig, console: Console, test: bool) -> int:
    """Train and, with `test`, test what is missing, and write the tables. Returns the exit code."""
    run.prune_checkpoints([_name(space)], [_name(space)])
    say(console, f"data  {run.environment['dataset']}\nrun   {run.location}")
    interrupted, reason = False, None
    try:
        with raise_on_interrupt():
            reason = _work(run, space, data, console, test)
    except KeyboardInterrupt:
        interrupted = True
    except Halt as error:
        return halted(run, str(error), console)
    return conclude(run, space, console, interrupted=interrupted, failure=reason)


def _work(
    run: DrivenRun, space: Space, data: DataConfig, console: Console, test: bool
) -> str | None:
    """Train to the end or to the first exception, then test. Returns why one of them failed."""
    name, known = _name(space), run.state().trials.get(_name(space))
    trained = known is not None and known.state == "done"
    if known is not None and (all(row.test for row in known.rows) or (trained and not test)):
        return None
    if known is None or not (trained and known.points):
        purpose: Purpose = "test" if trained else "train"
        job = _job(run, space, data, (name, _tree(space)), purpose, known is not None)
        try:
            if not trained and (reason := _train(run, space, job, known, console)) is not None:
                return f"the training failed: {reason}"
            trial = run.state().trials[name]
            if not test:
                return None
            if not trial.points:
                about = f"selected report {trial.selected}"
                return _test(run, job, trial, about, console)
        finally:
            job.close()
    for point in run.state().trials[name].points:
        if not point.test:
            job = _job(run, space, data, (point.trial, point.config), "test", True)
            about = f"{point.trial}, {point_text(point.point)}"
            try:
                reason = _test(run, job, point, about, console)
            finally:
                job.close()
            if reason is not None:
                return reason
    return None


def _job(
    run: DrivenRun,
    space: Space,
    data: DataConfig,
    trial: tuple[str, Mapping[str, Any]],
    purpose: Purpose,
    expected: bool,
) -> Job:
    """The job of a trial or point, given by its name and configuration."""
    # all GPUs of the process, because no other trial shares them
    return Job(
        JobDescription.of_trial(
            run, space, data, *trial, purpose=purpose, expected=expected, gpu=1
        ).to_json()
    )


def _test(run: DrivenRun, job: Job, trial: TrialRecord, about: str, console: Console) -> str | None:
    """Test the network of a trial or point. Returns the reason of a failure."""
    result = job.test()
    if result.halt is not None:
        raise Halt(result.halt)
    if result.failed is not None or result.test is None:
        return f"the test failed: {result.failed}"
    run.attach_predictions(trial.trial, result.predictions)
    run.log.append("test", trial=trial.trial, metrics=result.test)
    say(console, f"{about}: {_tested(trial.result, result.test)}")
    return None


def _train(
    run: DrivenRun, space: Space, job: Job, known: TrialRecord | None, console: Console
) -> str | None:
    """Train to the end; every report is an event once its state is on disk. Returns the reason of a
    failure."""
    name, control = _name(space), next(iter(space.controls), None)
    about = {
        "kind": "control" if control else "search",
        "control": control,
        "config": _tree(space),
        "params": {},
        "study": {},
    }
    run.log.append("start", trial=name, **about, attempt=known.attempts + 1 if known else 1)
    seen = set(known.reports) if known else set()
    derived = DerivedMetrics(space.config, run.environment.get("tasks"))
    if seen:
        say(console, f"continues after report {max(seen)}")
    with _bar(console) as progress:
        bar = progress.add_task("training", total=job.total_epochs)
        result = StepResult()
        while not result.done:
            result = job.step()
            if result.halt is not None or run.abort_reason is not None:
                raise Halt(result.halt or run.abort_reason)
            if result.note is not None:
                run.log.append("note", trial=name, note=result.note)
                say(progress.console, result.note)
            run.on_store_error(result.store_error)
            for line in run.pop_messages():
                say(progress.console, line)
            for report in result.reports:
                report = {**report, **derived.of(report)}
                progress.update(bar, completed=report["epoch"])
                if report["report"] not in seen:
                    run.log.append("report", trial=name, report=report["report"], metrics=report)
                    say(progress.console, _line(report, job.total_epochs))
    if result.failed is not None:
        run.attach_log(name, result.log)
        run.log.append("end", trial=name, state="failed", reason=result.failed)
        return result.failed
    chosen = run.state().trials[name].reports[result.selected or 0]
    ended = derived.end(chosen, result.measured, result.points)
    run.log.append("end", trial=name, state="done", selected=result.selected, **ended)
    return None


def _bar(console: Console) -> Progress:
    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("epochs"),
        TimeRemainingColumn(),
    ]
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)


def _line(report: Mapping[str, Any], epochs: float | None) -> str:
    # The network itself does not change while its teachers are trained.
    whose = "teacher/" if report["phase"] == "teach" else "val/"
    return (
        f"epoch {report['epoch']:>3}/{epochs}  {report['phase']:<7}  {_metrics(report, whose)} "
        f" density {report['model/density']:.3f}"
    )


def _tested(selected: Mapping[str, Any], figures: Mapping[str, float]) -> str:
    """The test metrics that reports have too; metrics of single classes are in the tables."""
    return _metrics(
        {
            key: value
            for key, value in figures.items()
            if key.replace("test/", "val/", 1) in selected
        },
        "test/",
    )


def _metrics(report: Mapping[str, Any], prefix: str) -> str:
    return "  ".join(f"{key} {value:.4g}" for key, value in grouped_metrics(report, prefix).items())
