"""The table rows of a run's trials, and its history of reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from mtsearch.config.lineage import ancestors
from mtsearch.config.registry import methods, tag_of
from mtsearch.config.schema import TrialConfig
from mtsearch.config.space import leaves
from mtsearch.runs.events import plain
from mtsearch.runs.state import TrialRecord


def row_of(
    trial: TrialRecord, dataset: str, command: str, settings: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The table row of a trial or point: identity, state, `trial.*` configuration, the selected
    report's metrics, test metrics, command. `settings` are further settings of `trial.*`, of a
    point those that its trial has and its network has not."""
    row: dict[str, Any] = {
        "trial": trial.trial,
        "state": trial.state,
        "kind": trial.kind,
        "control": trial.control,
        "reason": trial.reason,
        "attempts": trial.attempts,
        "dataset": dataset,
        "seed": trial.config.get("seed", 0),
    }
    row.update(_settings({**trial.config, **(settings or {})}))
    row.update(trial.result)
    # `epoch` is that of the selected report
    if trial.reports and "epoch" in (last := trial.reports[max(trial.reports)]):
        row["cost/epochs"] = last["epoch"]
        if lineage := ancestors(trial.config):
            row["cost/lineage_epochs"] = last["epoch"] + sum(map(_epochs, lineage))
    row.update(trial.test)
    row["command"] = command
    return row


def fill_defaults(rows: Sequence[dict[str, Any]], trials: Sequence[TrialRecord]) -> None:
    """Fill in default values of settings that other rows have as columns. A setting that the row's
    configuration does not have stays empty."""
    columns = {column: None for row in rows for column in row if column.startswith("trial.")}
    for row, trial in zip(rows, trials, strict=True):
        missing = [column for column in columns if column not in row]
        if not missing:
            continue
        try:
            config = TrialConfig.model_validate(trial.config)
        # Written by another version with settings that this one refuses: its defaults are unknown.
        except ValidationError:
            continue
        settings = _settings(config.model_dump(mode="json", exclude=_unused(config)))
        row.update({column: settings[column] for column in missing if column in settings})


def _unused(config: TrialConfig) -> set[str]:
    """Settings without effect: a population with a budget of steps has no epochs."""
    return (
        {"epochs"}
        if config.population is not None and config.population.budget is not None
        else set()
    )


def _epochs(config: Mapping[str, Any]) -> int:
    """The epochs of a trial without a population or teachers."""
    return TrialConfig.model_validate(config).total_epochs


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    # `method` is short for {name: method}.
    tree = {
        k: {tag_of(k): v} if k in methods() and isinstance(v, str) else v for k, v in config.items()
    }
    start = tree.get("start")
    if isinstance(start, Mapping):  # the parent's settings are columns of its own row
        tree["start"] = {"trial": start.get("trial")}
    return {
        path: repr(plain(v)) if isinstance(v, list | tuple | dict) else v
        for path, v in leaves(tree, "trial")
    }


def history_of(trial: TrialRecord) -> list[dict[str, Any]]:
    """One row per report, in the order of the report numbers."""
    return [{"trial": trial.trial, **trial.reports[number]} for number in sorted(trial.reports)]
