"""The end of a run: tables, page, plot, and the last printed lines."""

from __future__ import annotations

import shlex
import sys

from rich.console import Console

from mtsearch.config.space import Space
from mtsearch.config.text import printable
from mtsearch.reporting.publish import publish
from mtsearch.reporting.terminal import print_front
from mtsearch.runs.directory import RunDirectory
from mtsearch.runs.driven import DrivenRun

DONE, FAILED, INTERRUPTED = 0, 1, 130  # exit codes
EARLY_ENDS = ("stopped: ", "interrupted; ", "not all is done.")
"""The beginnings of the lines that say why a driver ended before the run was complete."""


def conclude(
    run: DrivenRun,
    space: Space,
    console: Console,
    *,
    interrupted: bool = False,
    unfinished: bool = False,
    failure: str | None = None,
    note: str | None = None,
) -> int:
    """Write the tables, the plot and the page from the events; print the front of a search and the
    run's address.

    Args:
        run: the run whose driver ends.
        space: the space with the settings of this driver.
        console: receives the lines.
        interrupted: whether SIGINT or SIGTERM ended the driver.
        unfinished: whether a resume has something left to do.
        failure: why a single training failed; None if it did not.
        note: a line for the end of a complete run.

    Returns:
        The exit code: 0 done, 1 incomplete or failed, 130 interrupted.
    """
    run.log.close()
    single = run.single
    try:
        result = publish(
            run.path,
            run.rows(),
            run.history(),
            space.config,
            run.environment,
            configuration=space.to_yaml(),
            address=run.address,
            timeline=run.timeline(),
            ended=run.state().stop,
        )
    except OSError as error:
        return halted(
            run, f"the tables of {run.path} cannot be written ({error.strerror or error}).", console
        )
    if not single:
        print_front(result, console)
    unsaved = run.flush()
    for line in run.pop_messages():
        say(console, line)
    for problem in (failure, unsaved):
        if problem is not None and single:
            print(f"mtsearch.train: {printable(problem)}", file=sys.stderr)
        elif problem is not None:
            say(console, problem)
    if run.abort_reason is None:
        if interrupted:
            say(
                console,
                f"interrupted; everything finished is kept. Continue with: {resume_command(run)}",
            )
        elif unfinished:
            say(console, f"not all is done. Continue with: {resume_command(run)}")
        elif note is not None:
            say(console, note)
    say(console, f"run: {run.address}")
    if run.abort_reason is not None:
        return FAILED
    if interrupted:
        return INTERRUPTED
    incomplete = unfinished or failure is not None or unsaved is not None
    return FAILED if incomplete or not (single or result.front_rows) else DONE


def halted(run: DrivenRun, reason: str, console: Console) -> int:
    """Print why a run stopped before its end; a resume writes its tables. Returns the exit code."""
    run.log.close()
    unsaved = run.flush()
    for line in [*run.pop_messages(), *([unsaved] if unsaved is not None else [])]:
        say(console, line)
    say(
        console,
        f"stopped: {reason} Everything finished is kept. Fix this, then continue with:"
        f" {resume_command(run)}",
    )
    say(console, f"run: {run.address}")
    return FAILED


def resume_command(run: RunDirectory) -> str:
    """The command that continues a search or a single training."""
    return (
        f"python -m mtsearch.{'train' if run.single else 'run'} resume={shlex.quote(run.address)}"
    )


def say(console: Console, line: str) -> None:
    """Print a line without markup or truncation."""
    console.print(printable(line, lines=True), highlight=False, markup=False, soft_wrap=True)
