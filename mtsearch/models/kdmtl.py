"""KDMTL: hard parameter sharing whose features are drawn to those of single-task networks."""

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

SMALLEST = (
    1e-6  # a shorter feature vector keeps its length instead of getting 1, so that zero stays zero
)


def distance(features: Tensor, target: Tensor) -> Tensor:
    """The mean squared distance of two sets of features after each is brought to length 1 along its
    channels (axis 1).

    A zero vector stays zero and is 1 away from any other. Between 0 and 4; (B, C) or (B, C, h, w),
    a mean over images and pixels.
    """
    ours, theirs = (F.normalize(f, dim=1, eps=SMALLEST) for f in (features, target))
    return (ours - theirs).square().sum(1).mean()


class KDMTL(TrunkModel):
    """One trunk, a head and an adaptor a task; in training, adaptors are to make a frozen
    single-task network's features of the trunk's:

        loss_i = task loss_i + w_i * mean || a_i(z) / |a_i(z)| - f_i / |f_i| ||^2

    for trunk features z, adaptor a_i (a linear layer or 1x1 convolution of the same width, and
    ReLU) and teacher features f_i. Its gradient reaches adaptors and trunk. Adaptors belong to no
    output and leave with an export. (Li & Bilen 2020, ECCV workshops, arXiv 2007.06889.)

    Raises:
        BadInput: `weight` names a task that there is not.
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
                    f"`trial.architecture.weight` names the task `{name}`, which the dataset lacks."
                    f" {nearest(name, names)}"
                )
        self.adaptors = nn.ModuleDict({task.name: _adaptor(task, backbone) for task in tasks})
        self.weight = {name: weight.get(name, 0.0) for name in names}
        self._taught: Callable[[str, Tensor], Tensor] | None = None

    def learn_from(self, teachers: STL) -> None:
        """Draw the features to those of these networks, which are frozen and become no part of this
        one."""
        teachers.eval().requires_grad_(False)

        def taught(name: str, x: Tensor) -> Tensor:
            with torch.no_grad():
                return teachers.features(name, x)

        self._taught = taught

    def extra_losses(
        self, x: Tensor, shared: list[Tensor], tasks: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        """The weighted distances to the teachers' features. Raises RuntimeError before
        `learn_from`."""
        if self._taught is None:
            raise RuntimeError(
                "KDMTL should be given its teachers by `learn_from` before it is trained. Found"
                " none."
            )
        found = {}
        for name in self.chosen(tasks):
            if self.weight[name]:
                ours = self.adaptors[name](
                    self.read(name, x, self.features_of(name, shared, tasks))
                )
                found[name] = self.weight[name] * distance(ours, self._taught(name, x))
        return found

    def task_parameters(self, name: str) -> list[nn.Parameter]:
        return [*super().task_parameters(name), *self.adaptors[name].parameters()]


def _adaptor(task: TaskCard, backbone: Backbone) -> nn.Module:
    if need_of(task) == "map" and backbone.map_shape is not None:
        return nn.Sequential(nn.Conv2d(backbone.map_shape[0], backbone.map_shape[0], 1), nn.ReLU())
    return nn.Sequential(nn.Linear(backbone.width, backbone.width), nn.ReLU())
