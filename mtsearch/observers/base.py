"""What an observer is: something outside the run directory that is told how a search goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from mtsearch.config.base import Model
from mtsearch.config.errors import BadInput
from mtsearch.config.registry import implementation_of, implements, methods, tag_of
from mtsearch.config.space import Space, leaves
from mtsearch.runs.state import TrialRecord
from mtsearch.runs.status import SearchStatus


class Observer:
    """Told once of each thing that happens, after it is on disk; a method that it does not need it
    leaves out.

    Each observer has a thread of its own, so that a slow server holds up no trial. One that raises
    is switched off with a note. The records it is given are copies; of a trial that has ended they
    hold the selected report only, but in `started` all of them. On resume an observer is made anew:
    `started` and `trial` tell what earlier drivers saw, for it to add what it has not yet.

    Args:
        settings: the settings model this observer was registered for.
        run: the run directory; of a run at a URL the working copy of this driver, whose name says
            nothing.
        space: the space that is searched.
        title: what names this run among others, under every driver: ``<space>/<run id>``.
    """

    package: ClassVar[str | None] = None
    """The Python package that it needs, which is the extra of the same name too."""

    def __init__(self, settings: Any, run: Path, space: Space, title: str) -> None:
        self.settings, self.run, self.space, self.title = settings, run, space, title

    def started(self, ended: Sequence[TrialRecord]) -> None:
        """The driver begins. `ended` are the trials that ended under earlier drivers."""

    def trial(self, trial: TrialRecord) -> None:
        """A trial starts, or goes on under this driver: `trial.reports` holds what it has reported
        before."""

    def report(self, trial: TrialRecord, report: Mapping[str, Any]) -> None:
        """A running trial has reported; ``report["report"]`` is the report's number, from 1."""

    def ended(self, trial: TrialRecord, status: SearchStatus) -> None:
        """A trial is done, stopped by the scheduler or failed."""

    def tested(self, trial: TrialRecord) -> None:
        """The selected model of a trial that is done has been tested: `trial.test`."""

    def finished(self, status: SearchStatus, front: Sequence[str]) -> None:
        """The driver ends: all is done, or it was interrupted. `front` names the non-dominated
        trials."""


observer = implements
"""Register the observer of a settings class."""


def check_observers(space: Space) -> None:
    """Raises BadInput where an observer of `monitor` needs a package that is not installed here."""
    for settings in space.config.monitor:
        package = observer_of(settings).package
        if package is not None and find_spec(package) is None:
            raise BadInput(
                f"`monitor` names `{settings.name}`, whose package {package} is not installed."
                f" Install it with `pip install 'mtsearch[{package}]'`, or leave it out."
            )


def observer_of(settings: Model) -> type[Observer]:
    """The observer of a settings model. Raises BadInput for settings without one."""
    return implementation_of(settings)  # type: ignore[no-any-return]


def figures(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a report or of test metrics, without the report's own."""
    return {
        k: float(v)
        for k, v in metrics.items()
        if isinstance(v, int | float) and not isinstance(v, bool) and k != "report"
    }


def parameters(trial: TrialRecord) -> dict[str, Any]:
    """A trial's settings as flat names without ``trial.``: ``architecture.name``, ``optimizer.lr``,
    also of methods given by name alone."""
    tree = {
        k: {tag_of(k): v} if k in methods() and isinstance(v, str) else v
        for k, v in trial.config.items()
    }
    return {path: value for path, value in leaves(tree) if value is not None}
