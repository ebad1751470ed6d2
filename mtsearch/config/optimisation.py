"""Settings of optimisers and learning-rate schedules."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mtsearch.config.base import MethodConfig
from mtsearch.config.registry import method

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Beta = Annotated[float, Field(ge=0, lt=1)]


class OptimizerConfig(MethodConfig):
    """Settings of an optimiser: its learning rate and weight decay."""

    lr: Positive
    weight_decay: float = Field(0.0, ge=0)


@method("optimizer", "adam")
class AdamConfig(OptimizerConfig):
    """Adam (Kingma & Ba 2015)."""

    name: Literal["adam"] = "adam"
    lr: Positive = 1e-3
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    weight_decay: float = Field(0.0, ge=0)


@method("optimizer", "adamw")
class AdamWConfig(OptimizerConfig):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    name: Literal["adamw"] = "adamw"
    lr: Positive = 1e-3
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    weight_decay: float = Field(0.01, ge=0)


@method("optimizer", "sgd")
class SGDConfig(OptimizerConfig):
    """Stochastic gradient descent with momentum."""

    name: Literal["sgd"] = "sgd"
    lr: Positive = 1e-2
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(0.0, ge=0)

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> SGDConfig:
        if self.nesterov and self.momentum == 0:
            raise ValueError("with `nesterov` should have a `momentum` above 0. Found 0")
        return self


@method("optimizer", "adagrad")
class AdagradConfig(OptimizerConfig):
    """Steps divided by the root of all squared gradients so far (Duchi et al. 2011)."""

    name: Literal["adagrad"] = "adagrad"
    lr: Positive = 1e-2
    weight_decay: float = Field(0.0, ge=0)


@method("optimizer", "adadelta")
class AdadeltaConfig(OptimizerConfig):
    """Steps in units of the parameters, `lr` times (Zeiler 2012)."""

    name: Literal["adadelta"] = "adadelta"
    lr: Positive = 1.0
    rho: Beta = 0.9
    weight_decay: float = Field(0.0, ge=0)


class _Schedule(MethodConfig):
    warmup: float = Field(0.0, ge=0, description="epochs of linear warm-up from zero")


@method("lr_schedule", "constant", "mtsearch.training.schedules:constant")
class ConstantConfig(_Schedule):
    """The same learning rate throughout."""

    name: Literal["constant"] = "constant"


@method("lr_schedule", "step", "mtsearch.training.schedules:step")
class StepConfig(_Schedule):
    """Multiply the learning rate by `gamma` every `every` epochs."""

    name: Literal["step"] = "step"
    every: int = Field(3, gt=0)
    gamma: Fraction = 0.5


@method("lr_schedule", "exponential", "mtsearch.training.schedules:exponential")
class ExponentialConfig(_Schedule):
    """Multiply the learning rate by `gamma` each epoch, smoothly over its steps."""

    name: Literal["exponential"] = "exponential"
    gamma: Fraction = 0.95


@method("lr_schedule", "cosine", "mtsearch.training.schedules:cosine")
class CosineConfig(_Schedule):
    """Half a cosine from the learning rate to `final` times it."""

    name: Literal["cosine"] = "cosine"
    final: Fraction = 0.0


@method("lr_schedule", "onecycle", "mtsearch.training.schedules:onecycle")
class OneCycleConfig(MethodConfig):
    """Cosine up to the learning rate over `rise` of the steps, then cosine down (Smith & Topin
    2018)."""

    name: Literal["onecycle"] = "onecycle"
    rise: float = Field(0.3, gt=0, lt=1)
    start: Fraction = 0.04
    final: Fraction = 4e-6
