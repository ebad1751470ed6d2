"""MTAN: a shared trunk with task-specific attention over its stages."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.models.attention import masks_of
from mtsearch.models.base import Backbone, Need
from mtsearch.models.heads import need_of
from mtsearch.models.trunk_model import TrunkModel, needs_of


class MTAN(TrunkModel):
    """Every task multiplies the trunk's stages s_1, ..., s_n by its own masks (Liu, Johns & Davison
    2019, CVPR, arXiv 1803.10704).

        g_1 = s_1,    g_{i+1} = s_{i+1} * mask_i(g_i)

    Heads on maps read g_n, heads on vectors read v * mask_n(g_n) with the trunk's feature vector v.
    A mask has the layers of the trunk between its two stages and ends in a sigmoid. The shared
    features are all stages and, if a head reads it, the vector.

    Raises:
        BadInput: the backbone has no stages.
    """

    def __init__(
        self, settings: schema.MTANConfig, backbone: Backbone, tasks: Sequence[TaskCard]
    ) -> None:
        if not backbone.stages:
            raise BadInput(
                "`trial.architecture: mtan` needs the stages of a trunk, but the backbone defines"
                " none. Choose another backbone."
            )
        vectors: tuple[Need, ...] = ("vector",) if "vector" in needs_of(tasks) else ()
        super().__init__(backbone, tasks, settings.norm, ("stages", *vectors))
        self.stages = len(backbone.stages)
        mask = masks_of(backbone)
        self.attention = nn.ModuleDict(
            {
                task.name: nn.ModuleList(
                    mask(stage)
                    for stage in range(
                        self.stages if need_of(task) == "vector" else self.stages - 1
                    )
                )
                for task in tasks
            }
        )
        layers = [
            (f"attention.{name}", m)
            for name, m in self.attention.named_modules()
            if isinstance(m, nn.Conv2d | nn.Linear)
        ]
        self.prunable += tuple(name for name, layer in layers if getattr(layer, "groups", 1) == 1)

    def read(self, name: str, x: Tensor, features: list[Tensor]) -> Tensor:
        attended = features[0]
        masks: nn.ModuleList = self.attention[name]  # type: ignore[assignment]
        # not strict: a head that reads the map has no mask for the vector
        for following, mask in zip(features[1:], masks, strict=False):
            attended = following * mask(attended)
        return attended

    def sole_trunks(self) -> list[nn.Module]:
        return [self.trunk]

    def task_parameters(self, name: str) -> list[nn.Parameter]:
        return [*super().task_parameters(name), *self.attention[name].parameters()]
