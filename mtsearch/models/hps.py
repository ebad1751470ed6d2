"""Hard parameter sharing: one trunk, one head per task."""

from __future__ import annotations

from collections.abc import Sequence

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.models.base import Backbone
from mtsearch.models.registry import architecture
from mtsearch.models.trunk_model import TrunkModel


@architecture(schema.HPS)
class HPS(TrunkModel):
    """One trunk shared by all tasks and one head per task (Caruana 1997). The shared boundary is the trunk's output."""

    def __init__(self, settings: schema.HPS, backbone: Backbone, tasks: Sequence[TaskCard]) -> None:
        super().__init__(backbone, tasks, settings.norm)
