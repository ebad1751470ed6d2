"""Base class of all architectures with one shared trunk."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from mtsearch.config.architectures import Norm
from mtsearch.config.cards import TaskCard
from mtsearch.models.base import Backbone, MultiTaskModel, Need
from mtsearch.models.heads import build_head, need_of
from mtsearch.models.norm import PER_TASK, norm_parameters, renormalise_, set_norm_task
from mtsearch.models.restoring import apply_head


def needs_of(tasks: Sequence[TaskCard]) -> tuple[Need, ...]:
    """Return the distinct features that the heads of the tasks read, in the order of first use."""
    return tuple(dict.fromkeys(need_of(task) for task in tasks))


class TrunkModel(MultiTaskModel):
    """One trunk shared by all tasks and one head per task, whose input `read` computes from the
    features of the trunk.

    With a per-task `norm` the trunk runs once per task: `share` returns the features of all tasks,
    concatenated as a list in the order of the tasks, and `separate` is true.

    Args:
        backbone: builds the trunk.
        tasks: the task cards.
        norm: the normalisation of the trunk (see `mtsearch.models.norm`).
        needs: the outputs of the trunk; by default the features that the heads read.

    Raises:
        BadInput: `norm` is not `shared` and the trunk has no batch norm.
    """

    def __init__(
        self,
        backbone: Backbone,
        tasks: Sequence[TaskCard],
        norm: Norm,
        needs: Sequence[Need] | None = None,
    ) -> None:
        super().__init__(tasks)
        needs = needs_of(tasks) if needs is None else needs
        self.trunk = backbone.trunk(needs)
        renormalise_(self.trunk, norm, [task.name for task in tasks])
        self.separate = norm in PER_TASK
        self.heads = nn.ModuleDict({task.name: build_head(task, backbone) for task in tasks})
        self.slot = {
            task.name: needs.index(need_of(task)) for task in tasks if need_of(task) in needs
        }
        self.prunable = self.trunk.rows("trunk")

    def share(self, x: Tensor, tasks: Sequence[str] | None = None) -> list[Tensor]:
        if not self.separate:
            return self.trunk(x)
        features: list[Tensor] = []
        for name in self.chosen(tasks):
            set_norm_task(self.trunk, name)
            features += self.trunk(x)
        return features

    def features_of(
        self, name: str, shared: list[Tensor], tasks: Sequence[str] | None = None
    ) -> list[Tensor]:
        """Return the features of the trunk for task `name`, given the result `shared` of `share`
        for `tasks`."""
        if not self.separate:
            return shared
        names = self.chosen(tasks)
        count, place = len(shared) // len(names), names.index(name)
        return shared[place * count : (place + 1) * count]

    def read(self, name: str, x: Tensor, features: list[Tensor]) -> Tensor:
        """Return the input of the head of task `name`, given the images and the features of the
        trunk for this task."""
        return features[self.slot[name]]

    def decode(
        self, x: Tensor, shared: list[Tensor], tasks: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        features = {name: self.features_of(name, shared, tasks) for name in self.chosen(tasks)}
        return {
            name: apply_head(self.heads[name], self.read(name, x, own), x)
            for name, own in features.items()
        }

    def shared_parameters(self) -> list[nn.Parameter]:
        own = {id(p) for task in self.tasks for p in self.task_parameters(task.name)}
        return [p for p in self.trunk.parameters() if id(p) not in own]

    def task_parameters(self, name: str) -> list[nn.Parameter]:
        return [*norm_parameters(self.trunk, name), *self.heads[name].parameters()]
