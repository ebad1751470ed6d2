"""Cross-stitch networks: one network per task, whose feature maps are mixed between stages."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.models.base import Backbone, Branch, MultiTaskModel
from mtsearch.models.heads import build_head, need_of
from mtsearch.models.restoring import apply_head

OWN = 0.9  # initial weight of a task's own features


class Stitch(nn.Module):
    """sum_j alpha_j h_j for one task, over the maps h_j of K tasks.

    Args:
        place: the place of the task among the K tasks.
        tasks: K.
        channels: the number of weights of each map; 1 for a common weight of all channels.
    """

    def __init__(self, place: int, tasks: int, channels: int) -> None:
        super().__init__()
        alpha = torch.full((tasks, channels), (1 - OWN) / max(1, tasks - 1))
        alpha[place] = OWN if tasks > 1 else 1.0
        self.alpha = nn.Parameter(alpha)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """K maps (B, C, h, w) -> (B, C, h, w)."""
        terms = [h * alpha[:, None, None] for alpha, h in zip(self.alpha, maps, strict=True)]
        out, *rest = terms
        for term in rest:
            out = out + term
        return out


class CrossStitch(MultiTaskModel):
    """One network per task. After each stage but the last, task k goes on with
    sum_j alpha_kj h_j over the maps h_j of all tasks, with a weight alpha for each pair of tasks,
    stage and channel (`units: channel`) or for each pair and stage (`units: layer`). (Misra,
    Shrivastava, Gupta & Hebert 2016, CVPR, arXiv 1604.03539, equation 1.)

    The shared features are the maps of all tasks before the last mixing, which every task reads
    with its own weights. The later layers and these weights belong to the tasks.

    Raises:
        BadInput: the backbone is not sequential or has fewer than two stages.
    """

    def __init__(
        self, settings: schema.CrossStitchConfig, backbone: Backbone, tasks: Sequence[TaskCard]
    ) -> None:
        super().__init__(tasks)
        if len(backbone.stages) < 2:
            raise BadInput(
                "`trial.architecture: cross_stitch` mixes features between the stages of a trunk"
                f" and needs at least 2. Found {len(backbone.stages)}. Choose another backbone."
            )
        self.last = len(backbone.stages) - 1
        self.trunks = nn.ModuleDict({task.name: backbone.trunk([need_of(task)]) for task in tasks})
        self.heads = nn.ModuleDict({task.name: build_head(task, backbone) for task in tasks})
        for stage in range(self.last + 1):
            self._trunk(tasks[0].name).layers(stage)  # raises BadInput if it is not sequential
        self.stitches = nn.ModuleList(
            nn.ModuleDict(
                {
                    task.name: Stitch(
                        place, len(tasks), channels if settings.units == "channel" else 1
                    )
                    for place, task in enumerate(tasks)
                }
            )
            for channels, *_ in backbone.stages[:-1]
        )
        self.prunable = tuple(
            row for task in tasks for row in self._trunk(task.name).rows(f"trunks.{task.name}")
        )

    def _trunk(self, name: str) -> Branch:
        return self.trunks[name]  # type: ignore[return-value]

    def _stitch(self, stage: int, name: str) -> Stitch:
        return self.stitches[stage][name]  # type: ignore[index, return-value]

    def share(self, x: Tensor, tasks: Sequence[str] | None = None) -> list[Tensor]:
        names = self.chosen(None)
        maps = [self._trunk(name).advance(0, x) for name in names]
        for stage in range(1, self.last):
            maps = [
                self._trunk(name).advance(stage, self._stitch(stage - 1, name)(maps))
                for name in names
            ]
        return maps

    def decode(
        self, x: Tensor, shared: list[Tensor], tasks: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        return {
            name: apply_head(self.heads[name], self._features(name, shared), x)
            for name in self.chosen(tasks)
        }

    def _features(self, name: str, shared: list[Tensor]) -> Tensor:
        """Return the input of the head of a task."""
        trunk = self._trunk(name)
        h = trunk.advance(self.last, self._stitch(self.last - 1, name)(shared))
        return h if trunk.neck is None else trunk.neck(h)  # type: ignore[no-any-return]

    def shared_parameters(self) -> list[nn.Parameter]:
        own = {id(p) for task in self.tasks for p in self.task_parameters(task.name)}
        return [p for p in self.parameters() if id(p) not in own]

    def task_parameters(self, name: str) -> list[nn.Parameter]:
        trunk = self._trunk(name)
        modules = [self.heads[name], self._stitch(self.last - 1, name), *trunk.layers(self.last)]
        modules += [] if trunk.neck is None else [trunk.neck]
        return [p for module in modules for p in module.parameters()]
