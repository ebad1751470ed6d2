"""Several networks of one architecture, each for a group of the tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from mtsearch.config.base import Model
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.models.base import MultiTaskModel
from mtsearch.models.registry import build_model

Build = Callable[[Model, Model, Sequence[TaskCard], tuple[int, ...]], MultiTaskModel]
PART = "networks"  # the attribute of `Grouped` that has the networks


class Grouped(MultiTaskModel):
    """One network per group of tasks, in one module: nothing is shared between groups.

    `share` returns the features of all groups, one group after the other, and `separate` is true.

    Args:
        networks: one per group, each with the tasks of its group.
        tasks: all task cards, in the order of the dataset.
    """

    separate = True

    def __init__(self, networks: Sequence[MultiTaskModel], tasks: Sequence[TaskCard]) -> None:
        super().__init__(tasks)
        self.networks = nn.ModuleList(networks)
        self.uses_labels = any(network.uses_labels for network in networks)
        self.prunable = tuple(
            f"{PART}.{i}.{name}" for i, network in enumerate(networks) for name in network.prunable
        )
        # by the tasks of a call of `share`: how many features each group has
        self._counts: dict[tuple[str, ...], list[int]] = {}

    def _groups(self, tasks: Sequence[str] | None) -> list[tuple[MultiTaskModel, list[str]]]:
        """The networks with at least one of the tasks, and those of their tasks."""
        chosen = set(self.chosen(tasks))
        found: list[tuple[MultiTaskModel, list[str]]] = []
        for network in self.networks:
            assert isinstance(network, MultiTaskModel)
            names = [task.name for task in network.tasks if task.name in chosen]
            if names:
                found.append((network, names))
        return found

    def share(self, x: Tensor, tasks: Sequence[str] | None = None) -> list[Tensor]:
        parts = [network.share(x, names) for network, names in self._groups(tasks)]
        self._counts[tuple(self.chosen(tasks))] = [len(part) for part in parts]
        return [feature for part in parts for feature in part]

    def _split(
        self, shared: list[Tensor], tasks: Sequence[str] | None
    ) -> list[tuple[MultiTaskModel, list[str], list[Tensor]]]:
        found, start = [], 0
        counts = self._counts[tuple(self.chosen(tasks))]
        for (network, names), count in zip(self._groups(tasks), counts, strict=True):
            found.append((network, names, shared[start : start + count]))
            start += count
        return found

    def decode(
        self, x: Tensor, shared: list[Tensor], tasks: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for network, names, features in self._split(shared, tasks):
            found |= network.decode(x, features, names)
        return {name: found[name] for name in self.chosen(tasks)}

    def forward(self, x: Tensor, tasks: Sequence[str] | None = None) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for network, names in self._groups(tasks):
            found |= network(x, names)
        return {name: found[name] for name in self.chosen(tasks)}

    def extra_losses(
        self, x: Tensor, shared: list[Tensor], tasks: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for network, names, features in self._split(shared, tasks):
            found |= network.extra_losses(x, features, names)
        return found

    def auxiliary_outputs(
        self, x: Tensor, shared: list[Tensor], tasks: Sequence[str] | None = None
    ) -> dict[str, list[Tensor]]:
        found: dict[str, list[Tensor]] = {}
        for network, names, features in self._split(shared, tasks):
            found |= network.auxiliary_outputs(x, features, names)
        return found

    def shared_parameters(self) -> list[nn.Parameter]:
        return [
            parameter
            for network, _ in self._groups(None)
            for parameter in network.shared_parameters()
        ]

    def task_parameters(self, name: str) -> list[nn.Parameter]:
        ((network, _),) = self._groups([name])
        return network.task_parameters(name)


def build_grouped(
    architecture: Model,
    backbone: Model,
    tasks: Sequence[TaskCard],
    shape: tuple[int, ...],
    groups: Sequence[Sequence[str]] | None,
    build: Build = build_model,
) -> MultiTaskModel:
    """Build the network of a trial: one for all tasks, or one for each of several groups.

    Args:
        architecture: its settings.
        backbone: its settings.
        tasks: all task cards.
        shape: of one example without the batch axis, of an image (channels, height, width).
        groups: the names of the tasks of each network; None for one network.
        build: builds a network, as `build_model`.

    Raises:
        BadInput: a task is in no group or in several, or a group names no task; and as `build`.
    """
    named = sorted(name for group in groups or () for name in group)
    known = {task.name: task for task in tasks}
    if groups is not None and named != sorted(known):
        raise BadInput(
            f"`trial.groups` should name each task once: {', '.join(known)}. Found"
            f" {[list(group) for group in groups]}."
        )
    if groups is None or len(groups) == 1:
        return build(architecture, backbone, tasks, shape)
    networks = [
        build(architecture, backbone, [task for task in tasks if task.name in group], shape)
        for group in groups
    ]
    return Grouped(networks, tasks)
