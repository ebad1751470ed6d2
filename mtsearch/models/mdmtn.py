"""MDMTN: a shared trunk and one monitor per task."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.models.base import Backbone
from mtsearch.models.heads import need_of
from mtsearch.models.trunk_model import TrunkModel


class Mix(nn.Module):
    """alpha_0 * trunk + alpha_1 * monitor; alpha (2,) is a parameter if `learnable`, else a
    buffer."""

    alpha: Tensor

    def __init__(self, alpha: tuple[float, float], learnable: bool) -> None:
        super().__init__()
        if learnable:
            self.alpha = nn.Parameter(torch.tensor(alpha))
        else:
            self.register_buffer("alpha", torch.tensor(alpha))

    def forward(self, trunk: Tensor, monitor: Tensor) -> Tensor:
        return self.alpha[0] * trunk + self.alpha[1] * monitor


class MDMTN(TrunkModel):
    """A trunk shared by all tasks; each head reads alpha_0 * trunk + alpha_1 * monitor, where the
    monitor is a task-specific network on the image.

    `learnable` mixing starts at (1, 0), so that the network starts as hard sharing and the weights
    of the monitors get zero gradients until alpha_1 has changed. `static` mixing is (1 - c, c) with
    c = 0.5 - 0.5 / K for K tasks. (Hotegni, Berkemeier & Peitz 2024, IJCNN, arXiv 2308.12243.)
    """

    def __init__(
        self, settings: schema.MDMTNConfig, backbone: Backbone, tasks: Sequence[TaskCard]
    ) -> None:
        super().__init__(backbone, tasks, settings.norm)
        learnable = settings.mixing == "learnable"
        c = 0.0 if learnable else 0.5 - 0.5 / len(tasks)
        self.monitors = nn.ModuleDict(
            {task.name: backbone.monitor([need_of(task)]) for task in tasks}
        )
        self.mixes = nn.ModuleDict({task.name: Mix((1 - c, c), learnable) for task in tasks})
        self.prunable += tuple(
            row
            for task in tasks
            for row in self.monitors[task.name].rows(f"monitors.{task.name}")  # type: ignore[operator]
        )

    def read(self, name: str, x: Tensor, features: list[Tensor]) -> Tensor:
        (monitor,) = self.monitors[name](x)
        return self.mixes[name](super().read(name, x, features), monitor)  # type: ignore[no-any-return]

    def task_parameters(self, name: str) -> list[nn.Parameter]:
        return [
            *super().task_parameters(name),
            *self.monitors[name].parameters(),
            *self.mixes[name].parameters(),
        ]
