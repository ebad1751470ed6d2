"""Settings of sparse training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mtsearch.config.base import Model
from mtsearch.config.optimisation import Fraction
from mtsearch.config.registry import method


class SparsityConfig(Model):
    """Settings of a sparsity method."""

    mode: str

    @property
    def sharing(self) -> Sharing | None:
        """How rows are tied after the search phase; None where they are not."""
        return getattr(self, "share", None)


class Sharing(Model):
    """Tie rows whose similarity exceeds `preference`; the retrain phase then trains the unique
    rows."""

    preference: Fraction = 0.8
    method: Literal["complete", "affinity"] = "complete"


class SparsityRuleConfig(SparsityConfig):
    """Settings of a method that zeroes rows during the search phase.

    `pattern` and `beta1`, `beta2` give the weights of GrOWL's sorted norm.
    """

    pattern: Literal["linear", "spike", "dejiao"] = "linear"
    beta1: float = Field(0.8, ge=0)
    beta2: float = Field(0.2, ge=0)
    applications: int = Field(4, gt=0, description="times an epoch")
    share: Sharing | None = None


def _check_pattern(beta1: float, beta2: float) -> None:
    if beta1 + beta2 <= 0:
        raise ValueError(
            f"should have `beta1 + beta2` above 0. Found beta1 = {beta1:g}, beta2 = {beta2:g}"
        )


@method("sparsity", "none")
class NoSparsityConfig(SparsityConfig):
    """Dense training: one phase as long as search and retrain together."""

    mode: Literal["none"] = "none"


@method("sparsity", "target", "mtsearch.sparsity.rules:TargetRule")
class TargetSparsityConfig(SparsityRuleConfig):
    """A target fraction of zero rows in each eligible layer, reached on a cubic schedule by GrOWL's
    prox or by row magnitude."""

    mode: Literal["target"] = "target"
    target: float = Field(0.5, ge=0, lt=1)
    method: Literal["growl", "magnitude"] = "growl"

    @model_validator(mode="after")
    def _no_idle_settings(self) -> TargetSparsityConfig:
        _check_pattern(self.beta1, self.beta2)
        if self.method == "magnitude" and (self.pattern, self.beta1, self.beta2) != (
            "linear",
            0.8,
            0.2,
        ):
            raise ValueError(
                "with `method = magnitude` does not use `pattern`, `beta1` and `beta2`. Leave"
                " them out or use `growl`"
            )
        return self


@method("sparsity", "coefficient", "mtsearch.sparsity.rules:CoefficientRule")
class CoefficientSparsityConfig(SparsityRuleConfig):
    """The papers' form: GrOWL's prox with strength `coefficient` / 0.01, under a cap of zero rows
    per layer."""

    mode: Literal["coefficient"] = "coefficient"
    coefficient: float = Field(0.01, ge=0, lt=1)
    pattern: Literal["linear", "spike", "dejiao"] = "spike"
    applications: int = Field(1, gt=0, description="times an epoch")
    layer_cap: float = Field(0.3, ge=0, lt=1)
    cap_stages: int = Field(
        3, gt=0, description="the cap grows in this many equal stages over the search phase"
    )
    min_rate: float = Field(
        0.0,
        ge=0,
        le=100,
        description="the sparsity rate in percent that a search report needs to be chosen",
    )
    share: Sharing | None = Sharing()

    @model_validator(mode="after")
    def _weights_do_something(self) -> CoefficientSparsityConfig:
        _check_pattern(self.beta1, self.beta2)
        return self
