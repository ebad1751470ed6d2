"""The configuration of a space, and all settings models under one name: `schema.HPSConfig`,
`schema.TrialConfig`, `schema.SpaceConfig`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from mtsearch.config.architectures import (
    BroadcastSceneConfig,
    CGCConfig,
    CrossStitchConfig,
    DSelectKConfig,
    HPSConfig,
    ImageInputConfig,
    InputPart,
    KDMTLConfig,
    MDMTNConfig,
    MixingConfig,
    MMoEConfig,
    MTANConfig,
    MTLNConfig,
    MTLNSegNetConfig,
    NetworkInputConfig,
    OwnConfig,
    ResampledInputConfig,
    STLConfig,
)
from mtsearch.config.augmentation import Augment, RandAugment
from mtsearch.config.backbones import (
    BackboneCMConfig,
    BackboneConv1dConfig,
    BackboneEDSRConfig,
    BackboneEfficientNetCIFARConfig,
    BackboneHFConfig,
    BackboneKTDEConfig,
    BackboneMLPConfig,
    BackboneMMConfig,
    BackboneNoneConfig,
    BackboneSegNetConfig,
    BackboneTimmConfig,
    BackboneTorchvisionConfig,
    BackboneVDSRConfig,
    BackboneWRNConfig,
)
from mtsearch.config.balancing import (
    ChebyshevALConfig,
    ChebyshevConfig,
    DWAConfig,
    FAMOConfig,
    GLSConfig,
    IMTLLConfig,
    LinearConfig,
    PBIConfig,
    RLWConfig,
    SmoothChebyshevConfig,
    UncertaintyConfig,
)
from mtsearch.config.base import Model
from mtsearch.config.errors import format_value
from mtsearch.config.expressions import parse_expression
from mtsearch.config.formulations import (
    BootstrapFormulationConfig,
    ClassSubsetFormulationConfig,
    DatasetFormulationConfig,
    HoldoutFormulationConfig,
    HyperparametersFormulationConfig,
    KFoldFormulationConfig,
    LossFormulationConfig,
    MixupInClassFormulationConfig,
    OptimizerFormulationConfig,
    SeedFormulationConfig,
)
from mtsearch.config.objectives import Constraint, Latency, Objective
from mtsearch.config.observers import (
    MLflowObserverConfig,
    Observers,
    TensorBoardObserverConfig,
    WandbObserverConfig,
)
from mtsearch.config.pareto_sets import (
    ConditionedConfig,
    LowRankConfig,
    SparsityLadderConfig,
    WeightsLineConfig,
)
from mtsearch.config.population import MTOConfig
from mtsearch.config.resources import Resources
from mtsearch.config.search import ControlSearch, Sampler, Search
from mtsearch.config.sparsity import (
    CoefficientSparsityConfig,
    NoSparsityConfig,
    Sharing,
    TargetSparsityConfig,
)
from mtsearch.config.task_schedules import (
    CategoricalConfig,
    CoinConfig,
    JointConfig,
    ProportionalConfig,
    RoundRobinConfig,
    SequentialConfig,
)
from mtsearch.config.trial import Epochs, TrialConfig
from mtsearch.config.weightings import (
    AlignedMTLConfig,
    CAGradConfig,
    ConFIGConfig,
    DBMTLConfig,
    DualProjConfig,
    ExcessMTLConfig,
    FairGradConfig,
    GradDropConfig,
    GradNormConfig,
    GradVacConfig,
    IMTLGConfig,
    MGDAConfig,
    NashMTLConfig,
    PCDConfig,
    PCGradConfig,
    SDMGradConfig,
    UPGradConfig,
)

__all__ = [
    "AlignedMTLConfig",
    "Augment",
    "BackboneCMConfig",
    "BackboneConv1dConfig",
    "BackboneEDSRConfig",
    "BackboneEfficientNetCIFARConfig",
    "BackboneHFConfig",
    "BackboneKTDEConfig",
    "BackboneMLPConfig",
    "BackboneMMConfig",
    "BackboneNoneConfig",
    "BackboneSegNetConfig",
    "BackboneTimmConfig",
    "BackboneTorchvisionConfig",
    "BackboneVDSRConfig",
    "BackboneWRNConfig",
    "BootstrapFormulationConfig",
    "BroadcastSceneConfig",
    "CAGradConfig",
    "CGCConfig",
    "CategoricalConfig",
    "ChebyshevALConfig",
    "ChebyshevConfig",
    "ClassSubsetFormulationConfig",
    "CoefficientSparsityConfig",
    "CoinConfig",
    "ConFIGConfig",
    "ConditionedConfig",
    "Constraint",
    "ControlSearch",
    "CrossStitchConfig",
    "DBMTLConfig",
    "DSelectKConfig",
    "DWAConfig",
    "DataConfig",
    "DatasetFormulationConfig",
    "DualProjConfig",
    "Epochs",
    "ExcessMTLConfig",
    "FAMOConfig",
    "FairGradConfig",
    "GLSConfig",
    "GradDropConfig",
    "GradNormConfig",
    "GradVacConfig",
    "HPSConfig",
    "HoldoutFormulationConfig",
    "HyperparametersFormulationConfig",
    "IMTLGConfig",
    "IMTLLConfig",
    "ImageInputConfig",
    "InputPart",
    "JointConfig",
    "KDMTLConfig",
    "KFoldFormulationConfig",
    "Latency",
    "LinearConfig",
    "LossFormulationConfig",
    "LowRankConfig",
    "MDMTNConfig",
    "MGDAConfig",
    "MLflowObserverConfig",
    "MMoEConfig",
    "MTANConfig",
    "MTLNConfig",
    "MTLNSegNetConfig",
    "MTOConfig",
    "MixingConfig",
    "MixupInClassFormulationConfig",
    "NashMTLConfig",
    "NetworkInputConfig",
    "NoSparsityConfig",
    "Objective",
    "OptimizerFormulationConfig",
    "OwnConfig",
    "PBIConfig",
    "PCDConfig",
    "PCGradConfig",
    "ProportionalConfig",
    "RLWConfig",
    "RandAugment",
    "ResampledInputConfig",
    "Resources",
    "Results",
    "RoundRobinConfig",
    "SDMGradConfig",
    "STLConfig",
    "Sampler",
    "Search",
    "SeedFormulationConfig",
    "SequentialConfig",
    "Sharing",
    "SmoothChebyshevConfig",
    "SpaceConfig",
    "SparsityLadderConfig",
    "TargetSparsityConfig",
    "TensorBoardObserverConfig",
    "TrialConfig",
    "UPGradConfig",
    "UncertaintyConfig",
    "WandbObserverConfig",
    "WeightsLineConfig",
]


class DataConfig(Model):
    """The dataset, its folders and its splits. `limit` keeps that many of the first training images
    of each member set, and a fifth of that number of the other splits.

    `size` is the side of the square, in pixels, that images are scaled to, where the dataset allows
    it.
    `fold` selects one of five folds, read from CSV files beside the images or drawn by class; it
    fixes all three splits, and `split_seed` then only orders their images. `undefined: class`
    trains pixels of no named class as a class of their own; by default they are not trained on.
    `load` says where images are during training: in the memory of each process, or in the store,
    from which `workers` processes read them batch by batch. Both give the same numbers.
    """

    dataset: str
    root: Path | None = None
    store: Path | None = None
    split_seed: int = Field(42, ge=0, lt=2**32)
    val_fraction: float | None = Field(None, gt=0, lt=1)
    limit: int | None = Field(None, gt=0)
    size: int | None = Field(None, ge=8, le=1024)
    fold: int | None = Field(None, ge=0, le=4)
    undefined: Literal["ignore", "class"] = "ignore"
    format: Literal["auto", "arrays", "encoded"] = Field(
        "auto",
        description=(
            "arrays: the store holds decoded images; encoded: it keeps the image files, which"
            " worker processes decode for each batch; auto: encoded where the decoded images would"
            " take more than 2 GB"
        ),
    )
    load: Literal["auto", "memory", "stream"] = Field(
        "auto",
        description=(
            "memory: each process holds the whole dataset; stream: batches are read from the store"
            " when they are needed; auto: memory if the dataset is small beside this machine's"
        ),
    )
    workers: int | None = Field(
        None,
        ge=0,
        le=64,
        description=(
            "processes that read batches ahead for a trial when streaming; 0 reads in the trial's"
            " process; by default the cores of `resources.cpu` that `trial.threads` leaves, at"
            " least 1"
        ),
    )

    features: Literal["auto", "off"] = Field(
        "auto",
        description=(
            "auto: the features of frozen trunks are computed once, and all trials read them from a"
            " folder beside the store; off: trunks are part of every training step"
        ),
    )

    @model_validator(mode="after")
    def _one_way_to_split(self) -> DataConfig:
        if self.fold is not None and self.val_fraction is not None:
            raise ValueError(
                "does not use `val_fraction` beside `fold`, which fixes all splits. Leave one of"
                " them out"
            )
        return self


class Results(Model):
    """Where run directories are written: `root` is a folder, or a URL that fsspec can write to,
    such as ``s3://bucket/prefix``. `run` names this run's directory, which by default is
    its start time."""

    root: str = Field("results", min_length=1)
    run: str | None = Field(
        None,
        description=(
            "the folder name of this run instead of its start time; a job that is started again"
            " finds its run by this name"
        ),
    )
    upload_every: float = Field(
        30.0,
        ge=0,
        description=(
            "seconds between uploads to a URL: the most that is lost when the machine is lost"
        ),
    )

    @field_validator("run")
    @classmethod
    def _a_folder_name(cls, name: str | None) -> str | None:
        if name is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
            raise ValueError(
                "should be a folder name of letters, digits, `.`, `_` and `-`, the first a letter"
                f" or digit. Found {name!r}"
            )
        return name


class SpaceConfig(Model):
    """A search: the data, the objectives, the sampler, and the trial's tree with its search
    dimensions.

    `trial` and `controls` are trees (see `mtsearch.config.space`): a control is a fixed set of
    changes to the trial's defaults, trained beside the search.
    """

    name: str
    description: str = ""
    plugins: tuple[str, ...] = Field(
        (), description="modules and Python files outside the package that register methods"
    )
    notes: str = Field(
        "",
        description=(
            "Markdown for the page of a reference result: what its numbers are compared with"
        ),
    )
    data: DataConfig
    workers: int = Field(1, gt=0)
    resources: Resources = Resources()
    search: Search = Search()
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...] = ()
    latency: Latency = Latency()
    results: Results = Results()
    monitor: Observers = Field(
        (), description="observers: tensorboard, mlflow, wandb, or one of a plug-in"
    )
    delta_m: str | None = Field("stl", description="the control that Delta-m is measured against")
    controls: dict[str, dict[str, object]] = Field(default_factory=dict)
    trial: dict[str, object] = Field(default_factory=dict)

    @property
    def metrics(self) -> set[str]:
        """The metrics that objectives and constraints need, those in expressions included."""
        entries = (*self.objectives, *self.constraints)
        texts = [entry.expression for entry in entries if entry.expression is not None]
        return {entry.metric for entry in entries}.union(
            *(parse_expression(t).names for t in texts)
        )

    @model_validator(mode="before")
    @classmethod
    def _trial_keys_stand_below_trial(cls, data: object) -> object:
        for key in data if isinstance(data, dict) else ():
            if key in TrialConfig.model_fields and key not in cls.model_fields:
                raise ValueError(f"unknown key `{key}`. Did you mean `trial.{key}`?")
        return data

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, name: str) -> str:
        if not 0 < len(name) <= LONGEST or not name.strip("."):
            raise ValueError(
                f"should be a name of at most {LONGEST} characters, not of dots alone. Found"
                f" {format_value(name)}"
            )
        return name


LONGEST = 100
"""Characters of a name that becomes a folder's."""
