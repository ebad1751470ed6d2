"""MDMTN: a shared trunk beside one monitor per task."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.models.base import Backbone, MultiTaskModel
from mtsearch.models.heads import build_head, need_of
from mtsearch.models.hps import needs_of
from mtsearch.models.registry import architecture


class Mix(nn.Module):
    """alpha_0 * trunk + alpha_1 * monitor; alpha is a parameter of shape (2,) when learnable, else a buffer."""

    alpha: Tensor

    def __init__(self, alpha: tuple[float, float], learnable: bool) -> None:
        super().__init__()
        if learnable:
            self.alpha = nn.Parameter(torch.tensor(alpha))
        else:
            self.register_buffer("alpha", torch.tensor(alpha))

    def forward(self, trunk: Tensor, monitor: Tensor) -> Tensor:
        return self.alpha[0] * trunk + self.alpha[1] * monitor


@architecture(schema.MDMTN)
class MDMTN(MultiTaskModel):
    """A trunk shared by all tasks; each head reads alpha_0 * trunk + alpha_1 * monitor, the task's own monitor reading the raw image.

    `learnable` mixing starts at (1, 0), so the network starts as hard sharing: the monitors' weights get no gradient until
    alpha_1 has moved. `static` mixing is (1 - c, c) with c = 0.5 - 0.5 / K for K tasks.
    (Hotegni, Berkemeier & Peitz 2024, IJCNN, arXiv 2308.12243.)
    """

    def __init__(self, settings: schema.MDMTN, backbone: Backbone, tasks: Sequence[TaskCard]) -> None:
        super().__init__(tasks)
        needs = needs_of(tasks)
        learnable = settings.mixing == "learnable"
        c = 0.0 if learnable else 0.5 - 0.5 / len(tasks)
        self.trunk = backbone.trunk(needs)
        self.heads = nn.ModuleDict({task.name: build_head(task, backbone) for task in tasks})
        self.monitors = nn.ModuleDict({task.name: backbone.monitor([need_of(task)]) for task in tasks})
        self.mixes = nn.ModuleDict({task.name: Mix((1 - c, c), learnable) for task in tasks})
        self.slot = {task.name: needs.index(need_of(task)) for task in tasks}
        self.prunable = self.trunk.rows("trunk") + tuple(
            row
            for task in tasks
            for row in self.monitors[task.name].rows(f"monitors.{task.name}")  # type: ignore[operator]
        )

    def share(self, x: Tensor, tasks: Sequence[str] | None = None) -> list[Tensor]:
        return self.trunk(x)

    def decode(self, x: Tensor, shared: list[Tensor], tasks: Sequence[str] | None = None) -> dict[str, Tensor]:
        out = {}
        for name in self.chosen(tasks):
            (monitor,) = self.monitors[name](x)
            out[name] = self.heads[name](self.mixes[name](shared[self.slot[name]], monitor))
        return out

    def shared_parameters(self) -> list[nn.Parameter]:
        return list(self.trunk.parameters())

    def task_parameters(self, name: str) -> list[nn.Parameter]:
        return [p for part in (self.heads, self.monitors, self.mixes) for p in part[name].parameters()]
