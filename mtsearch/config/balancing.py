"""Settings of balancing methods: how several losses become one update."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mtsearch.config.base import Model, method
from mtsearch.config.optimisation import Positive


@method("balancing", "linear")
class Linear(Model):
    """The preference-weighted sum of the losses."""

    name: Literal["linear"] = "linear"


@method("balancing", "chebyshev")
class Chebyshev(Model):
    """The largest preference-weighted loss above the `reference` point."""

    name: Literal["chebyshev"] = "chebyshev"
    reference: float = 0.0


@method("balancing", "smooth_chebyshev")
class SmoothChebyshev(Model):
    """A log-sum-exp over the preference-weighted losses, `mu` -> 0 being the maximum (Lin et al. 2024)."""

    name: Literal["smooth_chebyshev"] = "smooth_chebyshev"
    mu: Positive = 0.1
    reference: float = 0.0


@method("balancing", "chebyshev_al")
class ChebyshevAL(Model):
    """Modified weighted Chebyshev with the inequality augmented Lagrangian in closed form (Hotegni et al. 2024).

    `mu` starts the penalty, multiplied by `rho` at each dual update; a dual update happens every `period` epochs;
    `normalise: initial` divides each loss by its value at the start of the phase, so that `mu` means the same on all data.
    """

    name: Literal["chebyshev_al"] = "chebyshev_al"
    epsilon: float = Field(1e-4, ge=0)
    mu: float = Field(1.0, ge=0)
    rho: float = Field(1.0, ge=1)
    period: int = Field(1, gt=0)
    reference: float = 0.0
    normalise: Literal["initial", "none"] = "initial"

    @model_validator(mode="after")
    def _no_idle_settings(self) -> ChebyshevAL:
        if self.mu == 0 and self.rho != 1:
            raise ValueError(f"with `mu = 0` has nothing that `rho` could grow. Leave it out or raise `mu`. Found rho = {self.rho:g}")
        return self
