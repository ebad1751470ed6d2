"""The scheduler of a search, rebuilt from the events of its run."""

from __future__ import annotations

from collections.abc import Sequence

from mtsearch.config.schema import Constraint, Objective
from mtsearch.config.search import Scheduler
from mtsearch.config.space import Space
from mtsearch.runs.driven import DrivenRun
from mtsearch.runs.state import RunState
from mtsearch.strategy.moasha import MOASHA
from mtsearch.strategy.pareto_asha import ParetoASHA
from mtsearch.strategy.repeats import stoppable


def new_scheduler(
    settings: Scheduler,
    length: int,
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint] = (),
) -> MOASHA | None:
    """A scheduler of these settings; None where no trial is stopped early.

    Args:
        settings: of the scheduler.
        length: the number of reports of a full training.
        objectives, constraints: of the search.
    """
    if settings.name == "moasha":
        return MOASHA(settings.grace, settings.reduction, objectives, constraints)
    if settings.name == "pareto_asha":
        return ParetoASHA(length, objectives, constraints)
    return None


def make_scheduler(run: DrivenRun, space: Space, state: RunState) -> MOASHA | None:
    """The scheduler with the reports of all trials so far; None where no trial is stopped early."""
    config = space.config
    settings = config.search.scheduler
    length = reports_of(space) if settings.name == "pareto_asha" else 1
    scheduler = new_scheduler(settings, length, config.objectives, config.constraints)
    if scheduler is not None:
        for event in run.events():
            if event["event"] == "report" and stoppable(state.trials[event["trial"]]):
                scheduler.add(event["trial"], event["metrics"])
    return scheduler


def reports_of(space: Space) -> int:
    """The number of reports of a trial with the defaults of the space; of a population, that of its
    rounds is not known before its data are, and `check_search` refuses it."""
    from mtsearch.training.phases import plan  # imports torch

    config = space.trial()
    return sum(-(-phase.epochs // config.report_every) for phase in plan(config))
