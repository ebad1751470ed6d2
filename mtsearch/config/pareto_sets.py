"""Settings of trials that yield several networks: for every preference, or at levels of
sparsity."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from mtsearch.config.base import MethodConfig
from mtsearch.config.optimisation import Positive
from mtsearch.config.registry import method


class PointsConfig(MethodConfig):
    """The settings of a training that yields several networks."""


class ParetoSetConfig(PointsConfig):
    """Networks of preferences: how preferences are drawn and which of them become points."""

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


@method("pareto_set", "conditioned", "mtsearch.training.conditioned:Conditioned")
class ConditionedConfig(ParetoSetConfig):
    """One network that receives the preference beside its features, and a penalty on the angle
    between losses and preference (COSMOS, Ruchte & Grabocka 2021)."""

    name: Literal["conditioned"] = "conditioned"
    cosine: float = Field(
        1.0, ge=0, description="strength of the penalty, which needs a balancing method of losses"
    )


@method("pareto_set", "sparsity_ladder", "mtsearch.training.sparsity_ladder:SparsityLadderTrial")
class SparsityLadderConfig(PointsConfig):
    """Dense training, then one level of sparsity after another: the rows with the smallest norms
    become zero, and the network is trained for a few epochs. The dense network and each level are
    points."""

    name: Literal["sparsity_ladder"] = "sparsity_ladder"
    levels: tuple[float, ...] = Field(
        (0.5, 0.7, 0.8, 0.9),
        min_length=1,
        max_length=50,
        description="fractions of zero rows in each eligible layer, in ascending order",
    )
    epochs: int = Field(2, gt=0, description="of each level")

    @field_validator("levels")
    @classmethod
    def _ascending(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if list(value) != sorted(set(value)) or not 0 < value[0] <= value[-1] < 1:
            raise ValueError(
                "should be numbers between 0 and 1 in ascending order. Found"
                f" {', '.join(f'{level:g}' for level in value)}"
            )
        return value

    @property
    def total(self) -> int:
        """Epochs of all levels."""
        return len(self.levels) * self.epochs
