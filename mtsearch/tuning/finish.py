"""The end of a run: tables, page, picture, and what is printed last."""

from __future__ import annotations

import shlex

from rich.console import Console

from mtsearch.pareto.publish import publish
from mtsearch.pareto.terminal import print_front
from mtsearch.tuning.ledger import Ledger
from mtsearch.tuning.rundir import RunDirectory


def conclude(ledger: Ledger, console: Console, *, interrupted: bool = False) -> int:
    """Write the tables, the picture and the page from the events, print the front and the run's path. Returns the exit code."""
    run = ledger.run
    run.log.close()
    config = ledger.space.config
    try:
        found = publish(run.path, run.rows(), run.history(), config, run.environment, configuration=ledger.space.to_yaml())
    except OSError as error:
        return halted(run, f"the tables of {run.path} cannot be written ({error.strerror or error}).", console)
    print_front(found, console)
    left = ledger.pending or bool(ledger.to_test()) or ledger.unsettled
    unkept = run.settle()
    for line in run.news():
        say(console, line)
    if unkept is not None:
        say(console, unkept)
    if run.trouble:
        left = True
    elif interrupted:
        say(console, f"interrupted; everything finished is kept. Go on with: {go_on(run)}")
    elif left:
        say(console, f"not all is done. Go on with: {go_on(run)}")
    elif ledger.proposed < ledger.study.size:
        say(console, f"`search.budget` is used up after {ledger.proposed} of {ledger.study.size} trials; a resume may raise it.")
    say(console, f"run: {run.address}")
    return 1 if left or unkept is not None or (not found.front and not interrupted) else 0


def halted(run: RunDirectory, reason: str, console: Console, *, single: bool = False) -> int:
    """Say why a run stopped before its end; the tables wait for its resume. Returns the exit code."""
    run.log.close()
    unkept = run.settle()
    for line in [*run.news(), *([unkept] if unkept is not None else [])]:
        say(console, line)
    say(console, f"stopped: {reason} Everything finished is kept. Mend that, then go on with: {go_on(run, single)}")
    say(console, f"run: {run.address}")
    return 1


def go_on(run: RunDirectory, single: bool = False) -> str:
    """The command that goes on with a run: a search, or a single training."""
    return f"python -m mtsearch.{'train' if single else 'run'} resume={shlex.quote(run.address)}"


def say(console: Console, line: str) -> None:
    """A line without markup or cuts."""
    console.print(line, highlight=False, markup=False, soft_wrap=True)
