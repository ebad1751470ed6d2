"""The base class of observers, which report the progress of a search outside the run directory."""

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
    """Receives each event of a search once, after it is on disk. All methods are optional.

    Each observer runs in a thread of its own, so that a slow server does not delay trials. An
    observer that raises is switched off with a note. Records are copies; those of ended trials have
    the selected report only, except in `started`, where they have all reports. A resume creates the
    observer again: `started` and `trial` pass what earlier drivers recorded, so that it can add
    what is missing.

    Args:
        settings: the settings model for which this observer was registered.
        run: the run directory; for a run at a URL the local copy of this driver, whose name has no
            meaning.
        space: the space that is searched.
        title: name of this run among others, equal for every driver: ``<space>/<run id>``.
    """

    package: ClassVar[str | None] = None
    """The required Python package, which is also the name of the extra."""

    def __init__(self, settings: Any, run: Path, space: Space, title: str) -> None:
        self.settings, self.run, self.space, self.title = settings, run, space, title

    def started(self, ended: Sequence[TrialRecord]) -> None:
        """The driver starts. `ended` are the trials that ended under earlier drivers."""

    def trial(self, trial: TrialRecord) -> None:
        """A trial starts, or continues under this driver; `trial.reports` are its earlier
        reports."""

    def report(self, trial: TrialRecord, report: Mapping[str, Any]) -> None:
        """A running trial has reported; ``report["report"]`` is the report's number, from 1."""

    def ended(self, trial: TrialRecord, status: SearchStatus) -> None:
        """A trial is done, stopped by the scheduler or failed."""

    def tested(self, trial: TrialRecord) -> None:
        """The selected model of a finished trial has been tested; the metrics are `trial.test`."""

    def finished(self, status: SearchStatus, front: Sequence[str]) -> None:
        """The driver ends, after completion or an interruption. `front` lists the non-dominated
        trials."""


observer = implements
"""Register the observer of a settings class."""


def check_observers(space: Space) -> None:
    """Raise BadInput if an observer of `monitor` needs a package that is not installed."""
    for settings in space.config.monitor:
        package = observer_of(settings).package
        if package is not None and find_spec(package) is None:
            raise BadInput(
                f"`monitor` names `{settings.name}`, whose package {package} is not installed."
                f" Install it with `pip install 'mtsearch[{package}]'`, or leave it out."
            )


def observer_of(settings: Model) -> type[Observer]:
    """The observer class of a settings model. Raises BadInput if there is none."""
    return implementation_of(settings)  # type: ignore[no-any-return]


def figures(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a report or of test metrics, without the report number."""
    return {
        k: float(v)
        for k, v in metrics.items()
        if isinstance(v, int | float) and not isinstance(v, bool) and k != "report"
    }


def parameters(trial: TrialRecord) -> dict[str, Any]:
    """A trial's settings as flat names without ``trial.``, such as ``architecture.name`` and
    ``optimizer.lr``, including methods that are given by name only."""
    tree = {
        k: {tag_of(k): v} if k in methods() and isinstance(v, str) else v
        for k, v in trial.config.items()
    }
    return {path: value for path, value in leaves(tree) if value is not None}
