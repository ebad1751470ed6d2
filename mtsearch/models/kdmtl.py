"""KDMTL: hard parameter sharing with distillation of the features of single-task networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput, nearest
from mtsearch.models.base import Backbone
from mtsearch.models.heads import need_of
from mtsearch.models.stl import STL
from mtsearch.models.trunk_model import TrunkModel

# feature vectors shorter than this are divided by it instead of by their length: 0 stays 0
EPSILON = 1e-6


def distance(features: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared distance of two feature tensors, each normalised to length 1 along
    the channels (axis 1).

    Args:
        features: (B, C) or (B, C, h, w).
        target: of the same shape.

    Returns:
        The mean over images and pixels, in [0, 4]. A zero vector is not normalised; its squared
        distance to a unit vector is 1.
    """
    ours, theirs = (F.normalize(f, dim=1, eps=EPSILON) for f in (features, target))
    return (ours - theirs).square().sum(1).mean()


class KDMTL(TrunkModel):
    """One shared trunk, and a head and an adaptor per task. In training, the adaptors map the
    features of the trunk to those of frozen single-task networks:

        loss_i = task loss_i + w_i * mean || a_i(z) / |a_i(z)| - f_i / |f_i| ||^2

    for trunk features z, adaptor a_i (a linear layer or 1x1 convolution of the same width, and
    ReLU) and teacher features f_i. The gradient reaches the adaptors and the trunk. Adaptors do not
    contribute to the outputs, and an export drops them. (Li & Bilen 2020, ECCV workshops, arXiv
    2007.06889.)

    Raises:
        BadInput: `weight` names an unknown task.
    """

    def __init__(
        self, settings: schema.KDMTLConfig, backbone: Backbone, tasks: Sequence[TaskCard]
    ) -> None:
        super().__init__(backbone, tasks, settings.norm)
        names = [task.name for task in tasks]
        weight = (
            settings.weight
            if isinstance(settings.weight, dict)
            else dict.fromkeys(names, settings.weight)
        )
        for name in weight:
            if name not in names:
                raise BadInput(
                    "`trial.architecture.weight` should name tasks of the dataset. Found"
                    f" `{name}`. {nearest(name, names)}"
                )
        self.adaptors = nn.ModuleDict({task.name: _adaptor(task, backbone) for task in tasks})
        self.weight = {name: weight.get(name, 0.0) for name in names}
        self._teacher_features: Callable[[str, Tensor], Tensor] | None = None

    def set_teachers(self, teachers: STL) -> None:
        """Set the networks whose features are distilled. They are frozen, and are not submodules of
        this network."""
        teachers.eval().requires_grad_(False)

        def teacher_features(name: str, x: Tensor) -> Tensor:
            with torch.no_grad():
                return teachers.features(name, x)

        self._teacher_features = teacher_features

    def extra_losses(
        self, x: Tensor, shared: list[Tensor], tasks: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        """Return the weighted distances to the teachers' features, by task name. Raises
        RuntimeError before `set_teachers` was called."""
        if self._teacher_features is None:
            raise RuntimeError(
                "KDMTL needs teachers before it is trained. Found none. Call `set_teachers` first."
            )
        found = {}
        for name in self.chosen(tasks):
            if self.weight[name]:
                ours = self.adaptors[name](
                    self.read(name, x, self.features_of(name, shared, tasks))
                )
                found[name] = self.weight[name] * distance(ours, self._teacher_features(name, x))
        return found

    def task_parameters(self, name: str) -> list[nn.Parameter]:
        return [*super().task_parameters(name), *self.adaptors[name].parameters()]


def _adaptor(task: TaskCard, backbone: Backbone) -> nn.Module:
    if need_of(task) == "map" and backbone.map_shape is not None:
        return nn.Sequential(nn.Conv2d(backbone.map_shape[0], backbone.map_shape[0], 1), nn.ReLU())
    return nn.Sequential(nn.Linear(backbone.width, backbone.width), nn.ReLU())
