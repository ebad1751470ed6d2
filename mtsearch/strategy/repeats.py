"""Repeats of trials with further seeds: which are missing, and the means that the sampler receives.

The first seed of a configuration is trained as any trial. Its repeats `0012.s1`, `0012.s2`, ...
differ from it in `trial.seed` alone, which is larger by their number, as are the seeds of the
trials with whose weights they begin. A trial that fails or is
stopped has none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mtsearch.config.lineage import parent_of, with_seed_offset
from mtsearch.pareto import trial_of
from mtsearch.runs.state import RunState, TrialRecord


def repeat_record(trial: TrialRecord, number: int) -> TrialRecord:
    """Repeat `number` of a trial, before it starts."""
    return TrialRecord(
        f"{trial.trial}.s{number}",
        trial.kind,
        trial.control,
        with_seed_offset(trial.config, number),
        trial.params,
        {},
    )


def group(state: RunState, name: str) -> list[TrialRecord]:
    """The trial or point of this name and those that repeat it with another seed, by number."""
    if trial_of(name) != name:
        point = name.removeprefix(trial_of(name))
        repeats = [state.find(trial.trial + point) for trial in group(state, trial_of(name))]
        return [record for record in repeats if record is not None]
    found, number = [state.trials[name]], 1
    while (repeat := state.trials.get(f"{name}.s{number}")) is not None:
        found.append(repeat)
        number += 1
    return found


def with_points(state: RunState, name: str) -> list[str]:
    """The name of a trial and those of its points, each of which has a checkpoint."""
    return [name, *(point.trial for point in state.trials[name].points)]


def missing(state: RunState, name: str, seeds: int) -> list[TrialRecord]:
    """The repeats that a trial lacks so that `seeds` seeds were trained; none where it is not
    done."""
    trial = state.trials[name]
    if trial.state != "done":
        return []
    return [repeat_record(trial, i) for i in range(len(group(state, name)), seeds)]


def outcome(state: RunState, name: str, seeds: int) -> TrialRecord:
    """The trial as the sampler and the running front see it.

    With one seed it is the trial itself. With several it is running until its repeats have ended,
    then its metrics are the means over the seeds that are done.
    """
    trial = state.trials[name]
    if seeds == 1 or trial.state != "done":
        return trial
    members = group(state, name)[:seeds]
    if len(members) < seeds or any(member.state == "running" for member in members):
        return replace(trial, state="running", selected=None)
    done = [member for member in members if member.state == "done"]
    points = [
        replace(point, reports={1: means([m.points[i].result for m in done])})
        for i, point in enumerate(trial.points)
    ]
    results = [member.result for member in done]
    return replace(trial, reports={1: means(results)}, selected=1, points=points, measured={})


def complete(state: RunState, seeds: int) -> list[TrialRecord]:
    """The outcomes of all trials and controls that have ended, in the order in which the last of
    their seeds ended."""
    ended = [trial for trial in state.ended if trial.repeat < seeds]
    last = {trial.configuration: i for i, trial in enumerate(ended)}
    found = [outcome(state, ended[i].configuration, seeds) for i in sorted(last.values())]
    return [trial for trial in found if trial.state != "running"]


def unfinished_names(state: RunState, seeds: int) -> set[str]:
    """The trials that run, and those whose repeats have not ended, with their points."""
    found = set(state.running)
    for trial in state.ended:
        if outcome(state, trial.configuration, seeds).state == "running":
            found.update(with_points(state, trial.trial))
    return found


def confirmed(state: RunState, seeds: int) -> set[str]:
    """Search trials and points with more seeds than `search.repeats`: a later trial may dominate
    their first seeds, but not their means."""
    return {
        row.configuration
        for trial in state.trials.values()
        if trial.kind == "search" and trial.repeat >= seeds
        for row in trial.rows
    }


def means(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The mean of every number that all results have; what else they have is that of the first.

    The result does not depend on their order, but for what is no number.
    """
    found = dict(results[0])
    for key in found:
        values = [result.get(key) for result in results]
        if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
            found[key] = math.fsum(float(v) / len(values) for v in values)  # type: ignore[arg-type]
    return found


def stoppable(trial: TrialRecord) -> bool:
    """Whether the scheduler may stop a trial: no control, no repeat of one that it let run, and no
    trial that begins with the weights of another one, whose reports are not comparable."""
    return trial.kind == "search" and not trial.repeat and parent_of(trial.config) is None
