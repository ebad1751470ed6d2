"""The scheduler of a search, rebuilt from the events of its run."""

from __future__ import annotations

from mtsearch.config.schema import SpaceConfig
from mtsearch.runs.driven import DrivenRun
from mtsearch.runs.state import RunState
from mtsearch.strategy.moasha import MOASHA
from mtsearch.strategy.repeats import stoppable


def make_scheduler(run: DrivenRun, config: SpaceConfig, state: RunState) -> MOASHA | None:
    """The scheduler with the reports of all trials so far; None where no trial is stopped early."""
    chosen = config.search.scheduler
    if chosen.name == "none":
        return None
    scheduler = MOASHA(chosen.grace, chosen.reduction, config.objectives, config.constraints)
    for event in run.events():
        if event["event"] == "report" and stoppable(state.trials[event["trial"]]):
            scheduler.add(event["trial"], event["metrics"])
    return scheduler
