"""The trained network of a run's trial, in this process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.config.validation import validate_tree
from mtsearch.jobs.description import owner_of
from mtsearch.pareto import trial_of
from mtsearch.population import Population, restore_trial
from mtsearch.runs.directory import RunDirectory
from mtsearch.training import Trial
from mtsearch.training.state import has_state, load_state


def load_trial(
    run: RunDirectory, name: str, places: Mapping[str, Any] | None = None
) -> Trial | Population:
    """Load a finished trial with its data; its attribute `selected_model` is the trained network.

    Args:
        run: as returned by `open_run`.
        name: of a trial on the front, or of a control.
        places: `root` and `store` of the data, if they have moved since the run.

    Raises:
        BadInput: the trial has no checkpoint, or the data found are not those that it was trained
            on.
    """
    record = run.state().find(name)
    if record is None:
        raise BadInput(f"{run.address} has no trial `{name}`.")
    if record.state != "done":
        raise BadInput(
            f"trial `{name}` is {record.state}, so it has no trained network; take a finished"
            " trial."
        )
    folder = run.fetch_checkpoint(name)
    if not has_state(folder):
        why = "only the front and the controls do"
        row = next(row for row in run.rows() if trial_of(row["trial"]) == trial_of(name))
        raise BadInput(
            f"trial `{name}` keeps no checkpoint in {run.address}: {why}. Train it again alone:"
            f" {row['command']}"
        )
    given = {
        "root": run.config.data.root,
        "store": run.config.data.store,
    }  # checkpoints know what they were trained on, not where it was
    config = record.config
    owner = owner_of(run, name, config)
    state = load_state(folder, owner)
    stored = validate_tree(TrialConfig, state["config"], "trial")
    if stored != validate_tree(TrialConfig, config, "trial"):
        raise BadInput(
            f"the checkpoint {folder} has another configuration than trial `{name}` of"
            f" {run.address}. Restore the folder from a copy, or train the trial again."
        )
    data = validate_tree(DataConfig, {**state["data"], **given, **(places or {})}, "data")
    try:
        return restore_trial(folder, data, owner=owner)
    except ValueError as error:  # data other than those the trial was trained on
        raise (
            error
            if isinstance(error, BadInput)
            else BadInput(f"trial `{name}` does not fit the data that were found: {error}")
        ) from error
