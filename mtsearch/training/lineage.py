"""The weights with which a trial with a parent begins."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from mtsearch.config.checkpoint_owner import CheckpointOwner
from mtsearch.config.errors import BadInput, reason_of
from mtsearch.config.pareto_sets import SparsityLadderConfig
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.models import MultiTaskModel
from mtsearch.training.world import World

if TYPE_CHECKING:
    from mtsearch.training.trial import Trial

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ParentCheckpoint:
    """Where the plain network of the parent may be: a folder, and the trial to which the checkpoint
    in it must belong."""

    folder: Path
    owner: CheckpointOwner | None = None


def parent_weights(trial: Trial) -> dict[str, Tensor]:
    """Return the state dict of the plain network of a trial's parent. All ranks call this.

    It is read from the checkpoint of the finished parent. Where there is none, the parent is
    trained, after its own parent, which gives the same weights.
    """
    found, checkpoint = None, trial.parent_checkpoint
    if checkpoint is not None and trial.world.rank == 0:
        found = _stored(checkpoint, trial.data)
        found = None if found is None else {name: value.cpu() for name, value in found.items()}
    found = trial.world.broadcast(found)
    if found is not None:
        return dict(found)
    return _trained(trial.config, trial.data, trial.world)


def _stored(checkpoint: ParentCheckpoint, data: DataConfig) -> dict[str, Tensor] | None:
    from mtsearch.training.trial import Trial  # a trial with a parent contains another trial

    if not Trial.saved(checkpoint.folder):
        return None
    try:
        parent = Trial.restore(checkpoint.folder, data, None, checkpoint.owner)
    except (BadInput, ValueError) as error:
        _log.warning("the parent is trained again: %s", reason_of(error))
        return None
    weights = parent.selected_model().state_dict() if parent.finished else None
    parent.close()
    return weights


def _trained(config: TrialConfig, data: DataConfig, world: World) -> dict[str, Tensor]:
    from mtsearch.training.pareto_set import ParetoSetTrial
    from mtsearch.training.points import PointsTrial
    from mtsearch.training.sparsity_ladder import SparsityLadderTrial
    from mtsearch.training.trial import Trial

    assert config.parent is not None and config.start is not None
    point = config.start.point
    settings = config.parent.pareto_set
    trial_class = Trial
    if settings is not None:
        ladder = isinstance(settings, SparsityLadderConfig)
        trial_class = SparsityLadderTrial if ladder else ParetoSetTrial
    parent = trial_class(config.parent, data, world)
    for _ in parent:
        pass
    if point is None:
        model: MultiTaskModel = parent.selected_model()
    else:
        assert isinstance(parent, PointsTrial)
        model = parent.point_model(point)
    weights = model.state_dict()
    parent.close()
    return weights
