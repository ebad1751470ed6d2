"""Hard parameter sharing: one trunk, one head per task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor, nn

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.models.base import Backbone, Branch, Need
from mtsearch.models.heads import need_of
from mtsearch.models.trunk_model import TrunkModel


class HPS(TrunkModel):
    """One trunk shared by all tasks and one head per task (Caruana 1997). The shared features are
    the output of the trunk.

    With `split` s the tasks share only the first s parts of the trunk's body, and each task has its
    own branch between them and its head: the later parts and, if the head reads a vector, the neck.
    The shared features are then the map at the split.

    Raises:
        BadInput: `split` exceeds the number of parts, or the trunk of the backbone cannot be split.
    """

    def __init__(
        self, settings: schema.HPSConfig, backbone: Backbone, tasks: Sequence[TaskCard]
    ) -> None:
        split = settings.split
        if split is None:
            super().__init__(backbone, tasks, settings.norm)
        else:
            super().__init__(
                replace(backbone, trunk=lambda needs: _shared_part(backbone, split)),
                tasks,
                settings.norm,
                ("map",),
            )
        self.branches = nn.ModuleDict(
            {}
            if split is None
            else {task.name: _task_part(backbone, split, need_of(task)) for task in tasks}
        )
        layers = [(f"branches.{name}", layer) for name, layer in self.branches.named_modules()]
        self.prunable += tuple(
            name
            for name, layer in layers
            if type(layer) in (nn.Conv2d, nn.Linear) and getattr(layer, "groups", 1) == 1
        )

    def read(self, name: str, x: Tensor, features: list[Tensor]) -> Tensor:
        if not self.branches:
            return super().read(name, x, features)
        return self.branches[name](features[0])  # type: ignore[no-any-return]

    def sole_trunks(self) -> list[nn.Module]:
        return [self.trunk]

    def task_parameters(self, name: str) -> list[nn.Parameter]:
        return [
            *super().task_parameters(name),
            *(self.branches[name].parameters() if self.branches else ()),
        ]


def _shared_part(backbone: Backbone, split: int) -> Branch:
    """Return the first parts of a new trunk: images -> the map at the split."""
    parts = backbone.trunk(["map"]).parts()
    if split > len(parts):
        raise BadInput(
            "`trial.architecture.split` should be at most the number of parts of the trunk,"
            f" {len(parts)} for this backbone. Found {split}."
        )
    return Branch(
        nn.Sequential(*(layer for part in parts[:split] for layer in part)), nn.Identity(), ["map"]
    )


def _task_part(backbone: Backbone, split: int, need: Need) -> nn.Sequential:
    """Return the other parts of a new trunk: the map at the split -> the input of a head."""
    trunk = backbone.trunk([need])
    layers = [layer for part in trunk.parts()[split:] for layer in part]
    return nn.Sequential(*layers, *([] if trunk.neck is None else [trunk.neck]))
