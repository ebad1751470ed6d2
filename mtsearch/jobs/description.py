"""The description of a job: what the driver sends to the process that trains or tests a trial."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mtsearch.config.checkpoint_owner import CheckpointOwner
from mtsearch.config.metrics import LATENCY
from mtsearch.config.schema import DataConfig
from mtsearch.config.space import Space
from mtsearch.runs.checkpoints import CheckpointLocation, config_key
from mtsearch.runs.directory import RunDirectory
from mtsearch.runs.driven import DrivenRun
from mtsearch.runs.state import TrialRecord

TRIAL_CLASS = "mtsearch.population:trial_class_for"

Purpose = Literal["train", "test"]


@dataclass(frozen=True)
class JobDescription:
    """One trial to train or to test.

    Args:
        purpose: train or test.
        config: configuration of the trial.
        data: data settings, with their location on this machine.
        trial_class: ``module:Class`` or ``module:function``, see `trial_class_of`.
        checkpoint: where the trial keeps its checkpoint.
        owner: the trial to which the checkpoint belongs; None skips the comparison.
        plugins: modules and files to import first.
        gpu: share of a GPU; with 0 the process sees none.
        latency: how `model/latency` is measured; None where nothing needs it.
        parent: where the checkpoint is with whose weights the trial begins; None for none.
        parent_owner: the trial or point to which that checkpoint belongs.
    """

    purpose: Purpose
    config: Mapping[str, Any]
    data: Mapping[str, Any]
    trial_class: str
    checkpoint: CheckpointLocation
    owner: CheckpointOwner | None = None
    plugins: tuple[str, ...] = ()
    gpu: float = 0
    latency: Mapping[str, Any] | None = None
    parent: CheckpointLocation | None = None
    parent_owner: CheckpointOwner | None = None

    @classmethod
    def of_trial(
        cls,
        run: DrivenRun,
        space: Space,
        data: DataConfig,
        trial: str,
        config: Mapping[str, Any],
        *,
        purpose: Purpose,
        trial_class: str = TRIAL_CLASS,
        expected: bool = False,
        gpu: float,
        parent: TrialRecord | None = None,
    ) -> JobDescription:
        """The job of a trial of a run; `expected`: whether there should be a checkpoint; `parent`:
        the finished trial or point with whose weights it begins."""
        return cls(
            purpose=purpose,
            config=config,
            data=data.model_dump(mode="json"),
            trial_class=trial_class,
            checkpoint=run.checkpoint_location(trial, config, expected),
            owner=owner_of(run, trial, config),
            plugins=tuple(space.config.plugins),
            gpu=gpu,
            latency=(
                space.config.latency.model_dump() if LATENCY in space.config.metrics else None
            ),
            parent=None if parent is None else run.checkpoint_location(parent.trial, parent.config),
            parent_owner=None if parent is None else owner_of(run, parent.trial, parent.config),
        )

    def to_json(self) -> str:
        """Serialise to text, which Ray Tune does not search for values to resolve."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> JobDescription:
        """The inverse of `to_json`."""
        tree = json.loads(text)
        owner, parent, other = (tree.get(key) for key in ("owner", "parent", "parent_owner"))
        return cls(
            **{
                **tree,
                "checkpoint": CheckpointLocation(**tree["checkpoint"]),
                "owner": None if owner is None else CheckpointOwner(**owner),
                "parent": None if parent is None else CheckpointLocation(**parent),
                "parent_owner": None if other is None else CheckpointOwner(**other),
                "plugins": tuple(tree.get("plugins", ())),
            }
        )


def owner_of(run: RunDirectory, trial: str, config: Mapping[str, Any]) -> CheckpointOwner:
    """The owner of a trial's checkpoint; None for runs of schema 1, which do not record it."""
    return CheckpointOwner(run.run_id, trial, config_key(config), required=run.schema > 1)
