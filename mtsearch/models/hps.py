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
    """One trunk shared by all tasks and one head per task (Caruana 1997). The shared boundary is
    the trunk's output.

    With `split` s the tasks share the first s parts of the trunk's body only, and each has a branch
    of its own from there to its head: the later parts and, where the head reads a vector, what
    makes it of the last map. The boundary is the map at the split.

    Raises:
        BadInput: a split behind the last part; a backbone whose trunk cannot be cut.
    """

    def __init__(
        self, settings: schema.HPSConfig, backbone: Backbone, tasks: Sequence[TaskCard]
    ) -> None:
        split = settings.split
        if split is None:
            super().__init__(backbone, tasks, settings.norm)
        else:
            super().__init__(
                replace(backbone, trunk=lambda needs: _begin(backbone, split)),
                tasks,
                settings.norm,
                ("map",),
            )
        self.branches = nn.ModuleDict(
            {}
            if split is None
            else {task.name: _end(backbone, split, need_of(task)) for task in tasks}
        )
        layers = [(f"branches.{name}", layer) for name, layer in self.branches.named_modules()]
        self.prunable += tuple(
            name
            for name, layer in layers
            if type(layer) in (nn.Conv2d, nn.Linear) and getattr(layer, "groups", 1) == 1
        )

    def read(self, name: str, x: Tensor, features: list[Tensor]) -> Tensor:
        return (
            self.branches[name](features[0]) if self.branches else super().read(name, x, features)
        )  # type: ignore[no-any-return]

    def task_parameters(self, name: str) -> list[nn.Parameter]:
        return [
            *super().task_parameters(name),
            *(self.branches[name].parameters() if self.branches else ()),
        ]


def _begin(backbone: Backbone, split: int) -> Branch:
    """The first parts of a new trunk: images -> the map at the split."""
    parts = backbone.trunk(["map"]).parts()
    if split > len(parts):
        raise BadInput(
            "`trial.architecture.split` counts parts of the trunk, of which this backbone has"
            f" {len(parts)}. Found {split}."
        )
    return Branch(
        nn.Sequential(*(layer for part in parts[:split] for layer in part)), nn.Identity(), ["map"]
    )


def _end(backbone: Backbone, split: int, need: Need) -> nn.Sequential:
    """The other parts of a new trunk: the map at the split -> what a head reads."""
    trunk = backbone.trunk([need])
    layers = [layer for part in trunk.parts()[split:] for layer in part]
    return nn.Sequential(*layers, *([] if trunk.neck is None else [trunk.neck]))
