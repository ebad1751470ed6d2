"""Settings of Pareto sets: trials that train one network for every preference."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mtsearch.config.base import MethodConfig
from mtsearch.config.optimisation import Positive
from mtsearch.config.registry import method


class ParetoSetConfig(MethodConfig):
    """What all of them have: how preferences are drawn and which of them become points."""

    draw: Literal["uniform", "even"] = Field(
        "uniform",
        description=(
            "the preference of a training step: uniform on the simplex, or from a sequence that"
            " covers the simplex evenly"
        ),
    )
    points: int = Field(
        11,
        ge=2,
        description=(
            "networks that the trial yields: those of the largest regular grid on the simplex that"
            " has at most so many points"
        ),
    )
    statistics: int = Field(
        20,
        gt=0,
        description="training batches on which the batch statistics of each network are measured",
    )


@method("pareto_set", "weights_line", "mtsearch.training.weights_line:WeightsLine")
class WeightsLineConfig(ParetoSetConfig):
    """One set of weights per task, combined convexly with the preference (Dimitriadis et al.
    2023)."""

    name: Literal["weights_line"] = "weights_line"


@method("pareto_set", "low_rank", "mtsearch.training.low_rank:LowRank")
class LowRankConfig(ParetoSetConfig):
    """One set of weights and a low-rank change per task, added in the proportion of the preference
    (PaLoRA, Dimitriadis et al. 2025)."""

    name: Literal["low_rank"] = "low_rank"
    rank: int = Field(4, gt=0, description="of the change of a weight matrix")
    scale: Positive = Field(1.0, description="of the changes, divided by the rank")
