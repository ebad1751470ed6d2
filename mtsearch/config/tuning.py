"""Which parameters of a backbone are trained."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mtsearch.config.base import Model


class LastConfig(Model):
    """Train the last blocks of the trunk; the other blocks are frozen."""

    last: int = Field(gt=0, description="blocks of the trunk that are trained, from its end")


class LoRASettings(Model):
    """Low-rank updates W + alpha / rank B A of frozen weights W (Hu et al. 2022)."""

    rank: int = Field(8, gt=0, description="of the update of a weight")
    alpha: float = Field(16.0, gt=0, description="the update is scaled by alpha / rank")
    targets: tuple[str, ...] = Field(
        (),
        description=(
            "layers that are updated, by the end of their name, such as fc1; empty: all linear"
            " layers and ungrouped convolutions of the trunk"
        ),
    )


class LoRAConfig(Model):
    """Train low-rank updates of the trunk's weights."""

    lora: LoRASettings


Tune = Literal["all", "head"] | LastConfig | LoRAConfig
"""`all` trains the trunk, `head` freezes it, `{last: 2}` trains its last two blocks, and
`{lora: {rank: 8}}` trains low-rank updates of its weights."""
