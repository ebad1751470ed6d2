"""Settings of balancing methods: how several losses become one update."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from mtsearch.config.base import MethodConfig, Model
from mtsearch.config.optimisation import Positive
from mtsearch.config.registry import method

EQUAL = 1e-6
"""The largest difference of equal weights."""


def takes_preference(settings: Model | type[Model]) -> bool:
    """Whether the method weights the tasks by the preference. Others compute the weights."""
    return getattr(settings, "takes_preference", True)


def equal(weights: Iterable[float]) -> bool:
    """Whether all weights are equal up to `EQUAL`."""
    weights = list(weights)
    return not weights or max(weights) - min(weights) <= EQUAL


def unused_preference(settings: Any, found: Any) -> str:
    """The end of the sentence that refuses unequal weights for a method without preference."""
    return (
        f"should be equal or left out with `balancing: {settings.name}`, which takes no preference."
        f" Found {found}."
    )


@method("balancing", "linear", "mtsearch.balancing.linear:Linear")
class LinearConfig(MethodConfig):
    """The preference-weighted sum of the losses."""

    name: Literal["linear"] = "linear"


@method("balancing", "chebyshev", "mtsearch.balancing.chebyshev:Chebyshev")
class ChebyshevConfig(MethodConfig):
    """The largest preference-weighted loss above the `reference` point."""

    name: Literal["chebyshev"] = "chebyshev"
    reference: float = 0.0


@method("balancing", "smooth_chebyshev", "mtsearch.balancing.smooth_chebyshev:SmoothChebyshev")
class SmoothChebyshevConfig(MethodConfig):
    """A log-sum-exp over the preference-weighted losses, `mu` -> 0 being the maximum (Lin et al.
    2024)."""

    name: Literal["smooth_chebyshev"] = "smooth_chebyshev"
    mu: Positive = 0.1
    reference: float = 0.0


@method("balancing", "chebyshev_al", "mtsearch.balancing.chebyshev_al:ChebyshevAL")
class ChebyshevALConfig(MethodConfig):
    """Modified weighted Chebyshev with the inequality augmented Lagrangian in closed form (Hotegni
    et al. 2024).

    `mu` starts the penalty, multiplied by `rho` at each dual update; a dual update happens every
    `period` epochs; `normalise: initial` divides each loss by its value at the start of the phase,
    so that `mu` means the same on all data.
    """

    name: Literal["chebyshev_al"] = "chebyshev_al"
    epsilon: float = Field(1e-4, ge=0)
    mu: float = Field(1.0, ge=0)
    rho: float = Field(1.0, ge=1)
    period: int = Field(1, gt=0)
    reference: float = 0.0
    normalise: Literal["initial", "none"] = "initial"

    @model_validator(mode="after")
    def _no_idle_settings(self) -> ChebyshevALConfig:
        if self.mu == 0 and self.rho != 1:
            raise ValueError(
                "with `mu = 0` has nothing that `rho` could grow. Leave it out or raise `mu`."
                f" Found rho = {self.rho:g}"
            )
        return self


@method("balancing", "pbi", "mtsearch.balancing.pbi:PBI")
class PBIConfig(MethodConfig):
    """Distance along the ray of equal weighted losses, plus `theta` times the distance from it
    (Zhang & Li 2007).

    A high `theta` (evolutionary algorithms take 5) raises the smaller losses to reach the ray;
    below 1 two equal tasks never do.
    """

    name: Literal["pbi"] = "pbi"
    theta: float = Field(0.5, ge=0)
    reference: float = 0.0


class Adaptive(MethodConfig):
    """Methods that find the tasks' weights themselves and take no preference."""

    takes_preference: ClassVar[bool] = False


@method("balancing", "uncertainty", "mtsearch.balancing.uncertainty:Uncertainty")
class UncertaintyConfig(Adaptive):
    """Learned variances weigh the losses, trained with the network (Kendall et al. 2018)."""

    name: Literal["uncertainty"] = "uncertainty"


@method("balancing", "imtl_l", "mtsearch.balancing.imtl_l:IMTLL")
class IMTLLConfig(Adaptive):
    """Learned scales bring the losses to one size, trained with the network (Liu et al. 2021)."""

    name: Literal["imtl_l"] = "imtl_l"


@method("balancing", "gls", "mtsearch.balancing.gls:GLS")
class GLSConfig(Adaptive):
    """The geometric mean of the losses, which should not be negative (Chennupati et al. 2019)."""

    name: Literal["gls"] = "gls"


@method("balancing", "rlw", "mtsearch.balancing.rlw:RLW")
class RLWConfig(Adaptive):
    """Random weights, new in each step: a control (Lin et al. 2022)."""

    name: Literal["rlw"] = "rlw"


@method("balancing", "dwa", "mtsearch.balancing.dwa:DWA")
class DWAConfig(Adaptive):
    """Weights follow the ratio of each loss between the last two epochs; a high `temperature` evens
    them (Liu et al. 2019)."""

    name: Literal["dwa"] = "dwa"
    temperature: Positive = 2.0


@method("balancing", "famo", "mtsearch.balancing.famo:FAMO")
class FAMOConfig(Adaptive):
    """Weights learned so that all losses fall at one rate, from the losses alone (Liu et al.
    2023)."""

    name: Literal["famo"] = "famo"
    lr: Positive = 0.025
    weight_decay: float = Field(1e-3, ge=0)
