"""Hard parameter sharing: one trunk, one head per task."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.models.base import Backbone, MultiTaskModel, Need
from mtsearch.models.heads import build_head, need_of
from mtsearch.models.registry import architecture


def needs_of(tasks: Sequence[TaskCard]) -> tuple[Need, ...]:
    """Each kind of feature that some task reads, once, in the order of first use."""
    return tuple(dict.fromkeys(need_of(task) for task in tasks))


@architecture(schema.HPS)
class HPS(MultiTaskModel):
    """One trunk shared by all tasks and one head per task (Caruana 1997). The shared boundary is the trunk's output."""

    def __init__(self, settings: schema.HPS, backbone: Backbone, tasks: Sequence[TaskCard]) -> None:
        super().__init__(tasks)
        needs = needs_of(tasks)
        self.trunk = backbone.trunk(needs)
        self.heads = nn.ModuleDict({task.name: build_head(task, backbone) for task in tasks})
        self.slot = {task.name: needs.index(need_of(task)) for task in tasks}
        self.prunable = self.trunk.rows("trunk")

    def share(self, x: Tensor, tasks: Sequence[str] | None = None) -> list[Tensor]:
        return self.trunk(x)

    def decode(self, x: Tensor, shared: list[Tensor], tasks: Sequence[str] | None = None) -> dict[str, Tensor]:
        return {name: self.heads[name](shared[self.slot[name]]) for name in self.chosen(tasks)}

    def shared_parameters(self) -> list[nn.Parameter]:
        return list(self.trunk.parameters())

    def task_parameters(self, name: str) -> list[nn.Parameter]:
        return list(self.heads[name].parameters())
