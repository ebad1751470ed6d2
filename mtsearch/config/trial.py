"""The configuration of one trial."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from mtsearch.config.architectures import HPSConfig, KDMTLConfig, OwnConfig, STLConfig
from mtsearch.config.augmentation import Augment
from mtsearch.config.backbones import BackboneCMConfig
from mtsearch.config.balancing import LinearConfig, equal, takes_preference, unused_preference
from mtsearch.config.base import MethodConfig, Model, Named, field_error
from mtsearch.config.lineage import LineageConfig
from mtsearch.config.optimisation import (
    AdamConfig,
    ConstantConfig,
    NonNegative,
    OptimizerConfig,
    Positive,
)
from mtsearch.config.pareto_sets import ParetoSetConfig, PointsConfig, SparsityLadderConfig
from mtsearch.config.population import MTOConfig
from mtsearch.config.sparsity import NoSparsityConfig, SparsityConfig
from mtsearch.config.task_schedules import JointConfig
from mtsearch.config.weightings import GradientMethod

BatchSize = Annotated[int, Field(gt=0)]


class Epochs(Model):
    """Epochs of the two phases. Dense training has one phase as long as both together."""

    search: int = Field(5, ge=0)
    retrain: int = Field(7, ge=0)

    @model_validator(mode="after")
    def _some(self) -> Epochs:
        if self.search + self.retrain == 0:
            raise ValueError("should contain at least one epoch. Found search = 0, retrain = 0")
        return self


class TrialConfig(Model):
    """The configuration of one trial, without its data."""

    seed: int = Field(0, ge=0, lt=2**32)
    architecture: Annotated[MethodConfig, Named("architecture")] = HPSConfig()
    backbone: Annotated[MethodConfig, Named("backbone")] = BackboneCMConfig()
    init: Literal["default", "lsuv", "normal"] = Field(
        "default", description="normal: weights N(0, 0.01^2), biases 0"
    )
    groups: tuple[tuple[str, ...], ...] | None = Field(
        None,
        description=(
            "the tasks of each network, such as [[a, b], [c]]: one network of the architecture per"
            " group; null: one for all tasks"
        ),
    )
    preference: dict[str, float] | None = None
    balancing: Annotated[MethodConfig, Named("balancing")] = LinearConfig()
    task_schedule: Annotated[MethodConfig, Named("task_schedule")] = JointConfig()
    sparsity: Annotated[SparsityConfig, Named("sparsity")] = NoSparsityConfig()
    population: Annotated[MTOConfig | None, Named("population", optional=True)] = None
    pareto_set: Annotated[PointsConfig | None, Named("pareto_set", optional=True)] = Field(
        None,
        description=(
            "train networks of all preferences at once, or of several levels of sparsity, each a"
            " row of the tables"
        ),
    )
    start: LineageConfig | None = Field(
        None, description="begin with the weights of another trial, which is the parent"
    )
    epochs: Epochs = Epochs()
    batch_size: BatchSize | dict[str, BatchSize] = Field(
        256,
        description=(
            "images of a step: one number, or a number by task where tasks have images of their own"
        ),
    )
    optimizer: Annotated[OptimizerConfig, Named("optimizer")] = AdamConfig()
    lr_schedule: Annotated[MethodConfig, Named("lr_schedule")] = ConstantConfig()
    lr_multipliers: dict[str, NonNegative] = Field(
        default_factory=dict,
        description=(
            "of the learning rate, by part of the network: trunk, attention, extractors, heads and"
            " so on; 0 freezes the part"
        ),
    )
    clip: Positive | None = None
    idle: Literal["frozen", "drift"] = Field(
        "frozen",
        description=(
            "parameters of tasks that a step does not train: unchanged, or updated by the"
            " optimiser's momentum"
        ),
    )
    ema: float | None = Field(None, gt=0, lt=1)
    augment: Augment = Augment()
    report_every: int = Field(1, gt=0)
    select: str = Field(
        "best",
        description=(
            "the report that is the trial's row: best (mean relative error), last, or best for one"
            " task by its name"
        ),
    )
    keep: Literal["row", "tasks"] = Field(
        "row",
        description=(
            "weights in the checkpoint: those of the selected report, or also those of every task's"
            " best report, for `mtsearch export of=TASK`"
        ),
    )
    bn: Literal["sync", "local"] = Field(
        "sync",
        description=(
            "with several workers: statistics of batch norm over the images of all workers, or of"
            " each worker"
        ),
    )
    threads: int = Field(1, gt=0)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description=(
            "bfloat16: autocast of the layers for which torch allows it. On CPUs torch 2.14 does"
            " not reproduce gradients of depthwise convolutions on maps of one pixel in bfloat16"
        ),
    )
    compile: bool = Field(
        False,
        description=(
            "run training steps through torch.compile, which rounds sums differently and takes"
            " minutes to start"
        ),
    )

    @property
    def batch(self) -> int:
        """The batch size, of several the largest."""
        return (
            self.batch_size if isinstance(self.batch_size, int) else max(self.batch_size.values())
        )

    @property
    def mto(self) -> MTOConfig:
        """The population's settings. Raises ValueError where the trial is not a population."""
        if self.population is None:
            raise ValueError("Parameter `population` should be set. Found `population = None`.")
        return self.population

    @field_validator("batch_size")
    @classmethod
    def _some_task(cls, value: int | dict[str, int]) -> int | dict[str, int]:
        if value == {}:
            raise ValueError("should be a number or give every task one. Found none")
        return value

    @model_validator(mode="after")
    def _searches_before_it_is_sparse(self) -> TrialConfig:
        if not isinstance(self.sparsity, NoSparsityConfig) and self.epochs.search == 0:
            raise ValueError(
                f"with `sparsity.mode = {self.sparsity.mode}` should have `epochs.search` of at"
                " least 1. Found 0"
            )
        if getattr(self.sparsity, "share", None) is not None and self.epochs.retrain == 0:
            raise ValueError(
                "with `sparsity.share` should have `epochs.retrain` of at least 1: rows are tied"
                " for retraining. Found 0"
            )
        return self

    @model_validator(mode="after")
    def _groups_fit(self) -> TrialConfig:
        if self.groups is None:
            return self
        found = [list(group) for group in self.groups]
        names = [name for group in found for name in group]
        if not found or not all(found) or len(set(names)) < len(names):
            raise field_error(
                "groups", f"should have each task once and no empty group. Found {found}"
            )
        if len(found) > 1 and isinstance(self.architecture, KDMTLConfig):
            raise field_error("groups", f"cannot divide the tasks of kdmtl. Found {found}")
        if len(found) > 1 and isinstance(self.architecture, OwnConfig):
            raise field_error(
                "groups",
                "cannot divide a network of your own, which has the outputs of all tasks. Found"
                f" {found}",
            )
        if len(found) > 1 and self.pareto_set is not None:
            raise field_error("groups", f"cannot be combined with `pareto_set`. Found {found}")
        return self

    @model_validator(mode="after")
    def _own_network_is_complete(self) -> TrialConfig:
        if not isinstance(self.architecture, OwnConfig):
            return self
        if self.backbone.name != "none":
            raise field_error(
                "backbone",
                f"should be none with `architecture: own`. Found {self.backbone.name}",
            )
        if self.init != "default":
            raise field_error(
                "init",
                "should be default with `architecture: own`, whose function initialises the"
                f" network. Found {self.init}",
            )
        return self

    @model_validator(mode="after")
    def _balancing_fits(self) -> TrialConfig:
        if (
            self.preference is not None
            and not takes_preference(self.balancing)
            and not equal(self.preference.values())
        ):
            raise field_error("preference", unused_preference(self.balancing, self.preference))
        if isinstance(self.architecture, STLConfig) and isinstance(self.balancing, GradientMethod):
            name = self.balancing.name
            raise field_error(
                "balancing",
                "should be a loss method, such as linear, with `architecture: stl`, which shares"
                f" nothing. Found {name}",
            )
        return self

    @model_validator(mode="after")
    def _populations_train_one_task(self) -> TrialConfig:
        if self.population is None:
            return self
        norm = getattr(self.architecture, "norm", "shared")
        wrong = [
            (
                "architecture",
                self.architecture.name,
                self.architecture.name in ("stl", "hps"),
                "stl or hps",
            ),
            ("architecture.norm", norm, norm in ("shared", "group"), "shared or group"),
            ("balancing", self.balancing.name, self.balancing.name == "linear", "linear"),
            ("task_schedule", self.task_schedule.name, self.task_schedule.name == "joint", "joint"),
            ("sparsity", self.sparsity.mode, self.sparsity.mode == "none", "none"),
            ("preference", self.preference, self.preference is None, "null"),
            ("groups", self.groups, self.groups is None, "null"),
            ("idle", self.idle, self.idle == "frozen", "frozen"),
            ("ema", self.ema, self.ema is None, "null"),
            ("batch_size", self.batch_size, isinstance(self.batch_size, int), "one number"),
            ("compile", self.compile, not self.compile, "false"),
            ("lr_multipliers", self.lr_multipliers, not self.lr_multipliers, "empty"),
            ("keep", self.keep, self.keep == "row", "row"),
            ("select", self.select, self.select in ("best", "last"), "best or last"),
        ]
        for key, found, right, needed in wrong:
            if not right:
                raise ValueError(f"with `population` should have `{key}` {needed}. Found {found}")
        if self.population.budget is not None and self.epochs != Epochs():
            raise ValueError(
                "with `population.budget` does not use `epochs`. Leave one of them out"
            )
        return self

    @model_validator(mode="after")
    def _pareto_set_fits(self) -> TrialConfig:
        if self.pareto_set is None:
            return self
        drawn = isinstance(self.pareto_set, ParetoSetConfig)
        refused = [
            (
                "preference",
                self.preference,
                self.preference is None or not drawn,
                "null: it is drawn",
            ),
            ("population", "one", self.population is None, "null"),
            ("sparsity", self.sparsity.mode, self.sparsity.mode == "none", "none"),
            (
                "architecture",
                self.architecture.name,
                not getattr(self.architecture, "teacher_epochs", 0),
                "another one, without teachers",
            ),
            ("keep", self.keep, self.keep == "row", "row"),
            (
                "balancing",
                self.balancing.name,
                takes_preference(self.balancing) or not drawn,
                "a method that takes a preference, such as linear",
            ),
        ]
        for key, found, right, needed in refused:
            if not right:
                raise ValueError(f"with `pareto_set` should have `{key}` {needed}. Found {found}")
        return self

    @property
    def total_epochs(self) -> int:
        """Epochs of a trial without a population or teachers."""
        ladder = self.pareto_set
        levels = ladder.total if isinstance(ladder, SparsityLadderConfig) else 0
        return self.epochs.search + self.epochs.retrain + levels

    @property
    def parent(self) -> TrialConfig | None:
        """The configuration of the trial with whose weights this one begins."""
        return None if self.start is None else TrialConfig.model_validate(self.start.config)

    @model_validator(mode="after")
    def _parent_fits(self) -> TrialConfig:
        try:
            parent = self.parent
        except ValidationError as error:
            found = error.errors()[0]
            where = ".".join(["start.config", *map(str, found["loc"])])
            raise ValueError(f"{where}: {found['msg'].removeprefix('Value error, ')}") from None
        if parent is None or self.start is None:
            return self
        for key, config in (("", self), ("start.config.", parent)):
            if config.population is not None:
                raise ValueError(f"with `start` should have `{key}population` null. Found one")
            if getattr(config.architecture, "teacher_epochs", 0):
                raise ValueError(
                    f"with `start` should have `{key}architecture` another one, without teachers."
                    f" Found {config.architecture.name}"
                )
        if (parent.pareto_set is None) != (self.start.point is None):
            raise field_error(
                "start",
                "should name a `point` where its trial has a `pareto_set`, and only there. Found"
                f" point {self.start.point}, pareto_set"
                f" {'null' if parent.pareto_set is None else parent.pareto_set.name}",
            )
        return self

    @model_validator(mode="after")
    def _frozen_parts_fit(self) -> TrialConfig:
        tune = getattr(self.backbone, "tune", "all")
        zero = sorted(part for part, value in self.lr_multipliers.items() if value == 0)
        if tune == "all" and not zero:
            return self
        norm = getattr(self.architecture, "norm", "shared")
        refused = [
            ("sparsity", self.sparsity.mode, self.sparsity.mode == "none", "none"),
            ("pareto_set", "one", self.pareto_set is None, "null"),
            ("population", "one", self.population is None, "null"),
            ("init", self.init, self.init == "default", "default"),
            ("architecture.norm", norm, norm == "shared", "shared"),
            (
                "architecture",
                self.architecture.name,
                not getattr(self.architecture, "teacher_epochs", 0),
                "another one, without teachers",
            ),
        ]
        cause = f"lr_multipliers.{zero[0]}: 0" if tune == "all" else "backbone.tune"
        for key, found, right, needed in refused:
            if not right:
                raise ValueError(
                    f"with frozen layers (`{cause}`) should have `{key}` {needed}. Found {found}"
                )
        return self

    @field_validator("preference")
    @classmethod
    def _simplex(cls, value: dict[str, float] | None) -> dict[str, float] | None:
        if value is not None:
            if any(v < 0 for v in value.values()):
                raise ValueError(f"should have no negative weight. Found {value}")
            if abs(sum(value.values()) - 1) > 1e-6:
                raise ValueError(
                    f"should sum to 1. Found {value}, which sums to {sum(value.values()):g}"
                )
        return value
