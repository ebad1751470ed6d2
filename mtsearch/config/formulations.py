"""Settings of formulations: how a population's auxiliary tasks are derived from its target, which
always keeps its own data and loss."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mtsearch.config.base import MethodConfig
from mtsearch.config.registry import method


@method("formulation", "seed", "mtsearch.population.formulations.seed:Seed")
class SeedFormulationConfig(MethodConfig):
    """The target's data and loss; only initialisation, order and augmentation differ."""

    name: Literal["seed"] = "seed"


@method("formulation", "holdout", "mtsearch.population.formulations.holdout:Holdout")
class HoldoutFormulationConfig(MethodConfig):
    """Every task trains on another random part of the data, of 1 - `holdout_fraction` (Zhang et al.
    2020)."""

    name: Literal["holdout"] = "holdout"


@method("formulation", "bootstrap", "mtsearch.population.formulations.bootstrap:Bootstrap")
class BootstrapFormulationConfig(MethodConfig):
    """An auxiliary task trains on as many images as it had, drawn with replacement after its
    hold-out was cut off."""

    name: Literal["bootstrap"] = "bootstrap"


@method(
    "formulation", "mixup_in_class", "mtsearch.population.formulations.mixup_in_class:MixupInClass"
)
class MixupInClassFormulationConfig(MethodConfig):
    """An auxiliary task keeps 1 / `factor` of its images; the rest are pixelwise mixtures of two
    distinct images of one class."""

    name: Literal["mixup_in_class"] = "mixup_in_class"
    factor: float = Field(2.0, gt=1)


@method("formulation", "kfold", "mtsearch.population.formulations.kfold:KFold")
class KFoldFormulationConfig(MethodConfig):
    """Auxiliary task t trains on all but fold t of the data (`train: rest`), or on that fold alone
    (`train: fold`)."""

    name: Literal["kfold"] = "kfold"
    folds: int = Field(5, ge=2)
    train: Literal["rest", "fold"] = "rest"


@method("formulation", "class_subset", "mtsearch.population.formulations.class_subset:ClassSubset")
class ClassSubsetFormulationConfig(MethodConfig):
    """An auxiliary task tells only `classes` random classes apart, with a head of its own (no
    published method)."""

    name: Literal["class_subset"] = "class_subset"
    classes: int = Field(ge=2)


@method("formulation", "dataset", "mtsearch.population.formulations.dataset:OtherDataset")
class DatasetFormulationConfig(MethodConfig):
    """Auxiliary task t is the t-th of `datasets`, each the name of a card, or `card/task` where
    that has several tasks."""

    name: Literal["dataset"] = "dataset"
    datasets: tuple[str, ...] = Field(min_length=1)


@method("formulation", "loss", "mtsearch.population.formulations.loss:OtherLoss")
class LossFormulationConfig(MethodConfig):
    """An auxiliary task trains and is judged by another loss: the t-th of `losses` (`assign:
    in_order`), or a random one."""

    name: Literal["loss"] = "loss"
    losses: tuple[str, ...] = Field(min_length=1)
    assign: Literal["in_order", "random"] = "in_order"


@method("formulation", "optimizer", "mtsearch.population.formulations.optimizer:OtherOptimizer")
class OptimizerFormulationConfig(MethodConfig):
    """An auxiliary task trains with a random one of `optimizers` at the target's learning rate and
    weight decay."""

    name: Literal["optimizer"] = "optimizer"
    optimizers: tuple[Literal["sgd", "adam", "adamw", "adagrad", "adadelta"], ...] = Field(
        ("sgd", "adam", "adadelta", "adagrad"), min_length=1
    )


@method(
    "formulation",
    "hyperparameters",
    "mtsearch.population.formulations.hyperparameters:Hyperparameters",
)
class HyperparametersFormulationConfig(MethodConfig):
    """An auxiliary task's learning rate and weight decay are multiplied by U(1 - `spread`, 1 +
    `spread`), its momentum is U(0.8, 1)."""

    name: Literal["hyperparameters"] = "hyperparameters"
    spread: float = Field(0.5, gt=0, lt=1)
