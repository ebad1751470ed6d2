"""Single-task learning: the baseline for multi-task networks."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.models.base import Backbone, MultiTaskModel
from mtsearch.models.heads import build_head, need_of
from mtsearch.models.restoring import apply_head


class STL(MultiTaskModel):
    """One trunk and one head per task. Nothing is shared, so that `share` returns an empty list."""

    def __init__(
        self, settings: schema.STLConfig, backbone: Backbone, tasks: Sequence[TaskCard]
    ) -> None:
        super().__init__(tasks)
        self.trunks = nn.ModuleDict({task.name: backbone.trunk([need_of(task)]) for task in tasks})
        self.heads = nn.ModuleDict({task.name: build_head(task, backbone) for task in tasks})
        self.prunable = tuple(
            row
            for task in tasks
            for row in self.trunks[task.name].rows(f"trunks.{task.name}")  # type: ignore[operator]
        )

    def share(self, x: Tensor, tasks: Sequence[str] | None = None) -> list[Tensor]:
        return []

    def decode(
        self, x: Tensor, shared: list[Tensor], tasks: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        known = dict(zip((task.name for task in self.tasks), shared, strict=False))
        return {
            name: apply_head(self.heads[name], known[name] if shared else self.features(name, x), x)
            for name in self.chosen(tasks)
        }

    def sole_trunks(self) -> list[nn.Module]:
        return list(self.trunks.values())

    def trunk_features(self, x: Tensor) -> list[Tensor]:
        return [self.features(task.name, x) for task in self.tasks]

    def features(self, name: str, x: Tensor) -> Tensor:
        """Return the input of the head of a task for images (B, C, H, W)."""
        (features,) = self.trunks[name](x)
        return features  # type: ignore[no-any-return]

    def shared_parameters(self) -> list[nn.Parameter]:
        return []

    def task_parameters(self, name: str) -> list[nn.Parameter]:
        return [*self.trunks[name].parameters(), *self.heads[name].parameters()]
