"""Settings of gradient weightings: balancing methods that look at the gradients of the tasks'
losses.

`level: feature` takes the gradients at the shared boundary, then goes through the shared part once;
`level: parameter` takes them in the shared parameters, which is the method as published and needs a
pass through the shared part for each task. The tasks' own parameters keep their own unweighted
gradients.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from mtsearch.config.base import MethodConfig
from mtsearch.config.optimisation import Positive
from mtsearch.config.registry import method


class GradientMethod(MethodConfig):
    """What all of them have: whether they take a preference, and where they act."""

    takes_preference: ClassVar[bool] = False
    level: Literal["feature", "parameter"] = "feature"


class Weighting(GradientMethod):
    """Methods that find a weight for each task in the K x K Gramian of the gradients.

    `smoothing` averages the weights over the steps, exponentially with this factor (CR-MOGM, Zhou
    et al. 2022).
    """

    smoothing: float = Field(0.0, ge=0, lt=1)


@method("balancing", "mgda", "mtsearch.balancing.mgda:MGDA")
class MGDAConfig(Weighting):
    """The shortest vector between the gradients (Désidéri 2012; Sener & Koltun 2018); `level:
    feature` is MGDA-UB.

    `normalise` divides the gradients before their weights are sought: by their lengths, by the
    losses, or by both. With two tasks `normalise: length` is exactly the mean of the gradients: the
    shortest vector between two unit gradients has the weights (1/2, 1/2).
    """

    name: Literal["mgda"] = "mgda"
    normalise: Literal["none", "length", "loss", "both"] = "none"


@method("balancing", "pcgrad", "mtsearch.balancing.pcgrad:PCGrad")
class PCGradConfig(Weighting):
    """Conflicting gradients are projected on each other's normal planes, in random order (Yu et al.
    2020)."""

    name: Literal["pcgrad"] = "pcgrad"


@method("balancing", "gradvac", "mtsearch.balancing.gradvac:GradVac")
class GradVacConfig(Weighting):
    """Gradients are turned towards cosines that follow their running mean, with `rate` (Wang et al.
    2021)."""

    name: Literal["gradvac"] = "gradvac"
    rate: float = Field(0.5, ge=0, le=1)


@method("balancing", "upgrad", "mtsearch.balancing.upgrad:UPGrad")
class UPGradConfig(Weighting):
    """Each gradient is projected on the dual cone of all, then they are added (Quinton & Rey
    2024)."""

    takes_preference: ClassVar[bool] = True
    name: Literal["upgrad"] = "upgrad"


@method("balancing", "dualproj", "mtsearch.balancing.dualproj:DualProj")
class DualProjConfig(Weighting):
    """The weighted mean gradient is projected on the dual cone of all (Lopez-Paz & Ranzato
    2017)."""

    takes_preference: ClassVar[bool] = True
    name: Literal["dualproj"] = "dualproj"


@method("balancing", "config", "mtsearch.balancing.conflict_free:ConFIG")
class ConFIGConfig(Weighting):
    """The direction whose cosines with the gradients are proportional to the preference (Liu
    et al. 2024)."""

    takes_preference: ClassVar[bool] = True
    name: Literal["config"] = "config"


@method("balancing", "aligned_mtl", "mtsearch.balancing.aligned_mtl:AlignedMTL")
class AlignedMTLConfig(Weighting):
    """The gradients' principal components are brought to one `scale` (Senushkin et al. 2023)."""

    takes_preference: ClassVar[bool] = True
    name: Literal["aligned_mtl"] = "aligned_mtl"
    scale: Literal["min", "median", "rmse"] = "min"


@method("balancing", "imtl_g", "mtsearch.balancing.imtl_g:IMTLG")
class IMTLGConfig(Weighting):
    """The combination whose projections on all gradients are equal (Liu et al. 2021)."""

    name: Literal["imtl_g"] = "imtl_g"


@method("balancing", "cagrad", "mtsearch.balancing.cagrad:CAGrad")
class CAGradConfig(Weighting):
    """The best worst improvement in a ball around the mean gradient (Liu et al. 2021).

    The ball has `radius` times that gradient's length.
    """

    name: Literal["cagrad"] = "cagrad"
    radius: float = Field(0.5, ge=0)


@method("balancing", "nash_mtl", "mtsearch.balancing.nash_mtl:NashMTL")
class NashMTLConfig(Weighting):
    """The Nash bargaining solution, solved anew `every` steps (Navon et al. 2022).

    The update is cut to the length `max_norm`; 0 leaves it as it is.
    """

    name: Literal["nash_mtl"] = "nash_mtl"
    max_norm: float = Field(1.0, ge=0)
    every: int = Field(1, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _without_iterations(cls, given: Any) -> Any:
        """Earlier runs name the iteration limit of a solver that is no longer used."""
        if isinstance(given, Mapping):
            return {key: value for key, value in given.items() if key != "iterations"}
        return given


@method("balancing", "fairgrad", "mtsearch.balancing.fairgrad:FairGrad")
class FairGradConfig(Weighting):
    """Alpha-fair allocation of progress: `alpha` 1 is proportional fairness, infinity the minimum
    (Ban & Ji 2024)."""

    name: Literal["fairgrad"] = "fairgrad"
    alpha: Positive = 1.0


@method("balancing", "sdmgrad", "mtsearch.balancing.sdmgrad:SDMGrad")
class SDMGradConfig(Weighting):
    """MGDA by projected gradient steps, pulled towards the preferred sum with strength `pull` (Xiao
    et al. 2023), on one batch.

    Steps of `lr` that would not converge, as those of the authors' code do not for gradients of
    unequal lengths, are shortened.
    """

    takes_preference: ClassVar[bool] = True
    name: Literal["sdmgrad"] = "sdmgrad"
    pull: float = Field(0.3, ge=0)
    lr: Positive = 0.3
    momentum: float = Field(0.5, ge=0, lt=1)
    iterations: int = Field(20, gt=0)


@method("balancing", "pcd", "mtsearch.balancing.pcd:PCD")
class PCDConfig(Weighting):
    """The gradient of task number `primary`, bent until each other task progresses by `tau` of its
    own step (Varam et al. 2026)."""

    name: Literal["pcd"] = "pcd"
    primary: int = Field(0, ge=0)
    tau: float = Field(0.02, ge=0, le=1)
    rate: float = Field(0.999, ge=0, lt=1)


@method("balancing", "gradnorm", "mtsearch.balancing.gradnorm:GradNorm")
class GradNormConfig(Weighting):
    """Weights learned until the gradients' lengths follow the tasks' training rates to the power
    `alpha` (Chen et al. 2018)."""

    name: Literal["gradnorm"] = "gradnorm"
    alpha: float = Field(1.5, ge=0)
    lr: Positive = 0.025


@method("balancing", "db_mtl", "mtsearch.balancing.db_mtl:DBMTL")
class DBMTLConfig(GradientMethod):
    """Gradients of the losses' logarithms, averaged over the steps and brought to the longest one's
    length (Lin et al. 2023).

    The running mean keeps `memory` / step^`fading` of itself.
    """

    name: Literal["db_mtl"] = "db_mtl"
    level: Literal["feature", "parameter"] = "parameter"
    memory: float = Field(0.9, ge=0, lt=1)
    fading: float = Field(0.5, ge=0)

    @model_validator(mode="after")
    def _remembers_parameters_only(self) -> DBMTLConfig:
        if self.level == "feature" and self.memory > 0:
            raise ValueError(
                "with `level = feature` cannot average over steps, whose images differ. Set"
                f" `memory: 0`. Found {self.memory:g}"
            )
        return self


@method("balancing", "excess_mtl", "mtsearch.balancing.excess_mtl:ExcessMTL")
class ExcessMTLConfig(GradientMethod):
    """Weights grow with the tasks' excess risks, estimated from gradients and their running squares
    (He et al. 2024).

    The first `warmup` steps have equal weights and set the scale of the risks; without them the
    first step takes the risks as they are, which with an `lr` of 1 gives one task all weight for
    good.
    """

    name: Literal["excess_mtl"] = "excess_mtl"
    level: Literal["parameter"] = "parameter"
    lr: Positive = 0.01
    warmup: int = Field(20, ge=0)


@method("balancing", "graddrop", "mtsearch.balancing.graddrop:GradDrop")
class GradDropConfig(GradientMethod):
    """Each coordinate keeps the gradients of one sign, drawn by how pure it is (Chen et al. 2020).

    `leak` lets that much of the others through.
    """

    name: Literal["graddrop"] = "graddrop"
    leak: float = Field(0.0, ge=0, le=1)
