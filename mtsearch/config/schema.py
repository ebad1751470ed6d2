"""The configuration of one trial and of a space, as validated models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from mtsearch.config.base import Model, method, named
from mtsearch.config.optimisation import Adam, Constant, Fraction, Positive

# ---------------------------------------------------------------- architectures and backbones


@method("architecture", "stl")
class STL(Model):
    """One network per task, nothing shared: the single-task control."""

    name: Literal["stl"] = "stl"


@method("architecture", "hps")
class HPS(Model):
    """Hard parameter sharing: one trunk, one head per task (Caruana 1997)."""

    name: Literal["hps"] = "hps"


@method("architecture", "mdmtn")
class MDMTN(Model):
    """A shared trunk plus one monitor per task on the raw image, mixed by a learnable pair (Hotegni et al. 2024)."""

    name: Literal["mdmtn"] = "mdmtn"
    mixing: Literal["learnable", "static"] = "learnable"


@method("backbone", "mm")
class BackboneMM(Model):
    """The MultiMNIST trunk of MDMTN: two 5x5 convolutions and a linear layer to 50."""

    name: Literal["mm"] = "mm"


@method("backbone", "cm")
class BackboneCM(Model):
    """The Cifar10Mnist trunk of MDMTN: two 3x3 convolutions with batch norm and a linear layer to 32."""

    name: Literal["cm"] = "cm"


@method("backbone", "torchvision")
class BackboneTorchvision(Model):
    """Any classification network of torchvision without its last layer; `weights` is a local state dict (safetensors or weights-only)."""

    name: Literal["torchvision"] = "torchvision"
    model: str
    weights: Path | None = None


# ---------------------------------------------------------------- balancing and task schedules


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


@method("task_schedule", "joint")
class Joint(Model):
    """Every step trains every task."""

    name: Literal["joint"] = "joint"


# ---------------------------------------------------------------- sparsity


class Sharing(Model):
    """Tie rows whose similarity exceeds `preference`; the retrain phase then trains the unique rows."""

    preference: Fraction = 0.8
    method: Literal["complete", "affinity"] = "complete"


def _check_pattern(beta1: float, beta2: float) -> None:
    if beta1 + beta2 <= 0:
        raise ValueError(f"should have `beta1 + beta2` above 0. Found beta1 = {beta1:g}, beta2 = {beta2:g}")


@method("sparsity", "none")
class NoSparsity(Model):
    """Dense training: one phase as long as search and retrain together."""

    mode: Literal["none"] = "none"


@method("sparsity", "target")
class TargetSparsity(Model):
    """A target fraction of zero rows in each eligible layer, reached on a cubic schedule by GrOWL's prox or by row magnitude."""

    mode: Literal["target"] = "target"
    target: float = Field(0.5, ge=0, lt=1)
    method: Literal["growl", "magnitude"] = "growl"
    pattern: Literal["linear", "spike", "dejiao"] = "linear"
    beta1: float = Field(0.8, ge=0)
    beta2: float = Field(0.2, ge=0)
    applications: int = Field(4, gt=0, description="times an epoch")
    share: Sharing | None = None

    @model_validator(mode="after")
    def _no_idle_settings(self) -> TargetSparsity:
        _check_pattern(self.beta1, self.beta2)
        if self.method == "magnitude" and (self.pattern, self.beta1, self.beta2) != ("linear", 0.8, 0.2):
            raise ValueError("with `method = magnitude` has no use for `pattern`, `beta1` and `beta2`. Leave them out or use `growl`")
        return self


@method("sparsity", "coefficient")
class CoefficientSparsity(Model):
    """The papers' form: GrOWL's prox with strength `coefficient` / 0.01, under a cap of zero rows per layer."""

    mode: Literal["coefficient"] = "coefficient"
    coefficient: float = Field(0.01, ge=0, lt=1)
    pattern: Literal["linear", "spike", "dejiao"] = "spike"
    beta1: float = Field(0.8, ge=0)
    beta2: float = Field(0.2, ge=0)
    applications: int = Field(1, gt=0, description="times an epoch")
    layer_cap: float = Field(0.3, ge=0, lt=1)
    cap_stages: int = Field(3, gt=0, description="the cap grows in this many equal stages over the search phase")
    min_rate: float = Field(0.0, ge=0, le=100, description="the sparsity rate in percent that a search report needs to be chosen")
    share: Sharing | None = Sharing()

    @model_validator(mode="after")
    def _weights_do_something(self) -> CoefficientSparsity:
        _check_pattern(self.beta1, self.beta2)
        return self


# ---------------------------------------------------------------- one trial


class Epochs(Model):
    """Epochs of the two phases. Dense training has one phase as long as both together."""

    search: int = Field(5, ge=0)
    retrain: int = Field(7, ge=0)

    @model_validator(mode="after")
    def _some(self) -> Epochs:
        if self.search + self.retrain == 0:
            raise ValueError("should hold at least one epoch. Found search = 0, retrain = 0")
        return self


class Augment(Model):
    """Augmentation of training images, in batches on the device. Zero switches a part off."""

    rotation: float = Field(0.0, ge=0, le=180, description="degrees to either side, nearest neighbour, black fill")
    crop: int = Field(0, ge=0, description="pixels of zero padding before a random crop")
    flip: bool = False


class TrialConfig(Model):
    """Everything one trial needs besides its data."""

    seed: int = Field(0, ge=0)
    architecture: named("architecture") = HPS()  # type: ignore[valid-type]
    backbone: named("backbone") = BackboneCM()  # type: ignore[valid-type]
    init: Literal["default", "lsuv"] = "default"
    preference: dict[str, float] | None = None
    balancing: named("balancing") = Linear()  # type: ignore[valid-type]
    task_schedule: named("task_schedule") = Joint()  # type: ignore[valid-type]
    sparsity: named("sparsity") = NoSparsity()  # type: ignore[valid-type]
    epochs: Epochs = Epochs()
    batch_size: int = Field(256, gt=0)
    optimizer: named("optimizer") = Adam()  # type: ignore[valid-type]
    lr_schedule: named("lr_schedule") = Constant()  # type: ignore[valid-type]
    clip: Positive | None = None
    ema: float | None = Field(None, gt=0, lt=1)
    augment: Augment = Augment()
    report_every: int = Field(1, gt=0)
    select: Literal["best", "last"] = "best"
    threads: int = Field(1, gt=0)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["float32", "bfloat16"] = "float32"

    @model_validator(mode="after")
    def _searches_before_it_is_sparse(self) -> TrialConfig:
        if not isinstance(self.sparsity, NoSparsity) and self.epochs.search == 0:
            raise ValueError(f"with `sparsity.mode = {self.sparsity.mode}` should have `epochs.search` of at least 1. Found 0")
        if getattr(self.sparsity, "share", None) is not None and self.epochs.retrain == 0:
            raise ValueError("with `sparsity.share` should have `epochs.retrain` of at least 1: rows are tied for retraining. Found 0")
        return self

    @field_validator("preference")
    @classmethod
    def _simplex(cls, value: dict[str, float] | None) -> dict[str, float] | None:
        if value is not None:
            if any(v < 0 for v in value.values()):
                raise ValueError(f"should have no negative weight. Found {value}")
            if abs(sum(value.values()) - 1) > 1e-6:
                raise ValueError(f"should sum to 1. Found {value}, which sums to {sum(value.values()):g}")
        return value


# ---------------------------------------------------------------- a space


class DataConfig(Model):
    """Which dataset, where from, and how it is split. `limit` keeps the first so many training images (and a fifth of it of the others)."""

    dataset: str
    root: Path | None = None
    store: Path | None = None
    split_seed: int = Field(42, ge=0)
    val_fraction: float | None = Field(None, gt=0, lt=1)
    limit: int | None = Field(None, gt=0)


class Resources(Model):
    """What one worker of a trial asks of the cluster."""

    cpu: float = Field(1, gt=0)
    gpu: float = Field(0, ge=0)


class Sampler(Model):
    """How configurations are proposed."""

    name: Literal["tpe", "nsga2", "nsga3", "gp", "qmc", "random", "grid"] = "tpe"
    startup: int = Field(10, gt=0, description="random trials before a model is used (tpe, gp); the population of nsga2 and nsga3")

    @model_validator(mode="after")
    def _no_idle_settings(self) -> Sampler:
        if self.name in ("qmc", "random", "grid") and self.startup != 10:
            raise ValueError(f"with `name = {self.name}` has no use for `startup`. Leave it out")
        return self


def _sampler(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class Search(Model):
    """How many trials, which sampler, how many at once."""

    trials: int = Field(16, gt=0)
    sampler: Annotated[Sampler, BeforeValidator(_sampler)] = Sampler()
    seed: int = Field(0, ge=0)
    slots: int | None = Field(None, gt=0)
    budget: Positive | None = Field(None, description="seconds after which no trial starts")
    max_failures: int = Field(3, ge=0, description="times one trial is restarted after its process died")


class Objective(Model):
    """A metric that the front is over."""

    metric: str
    goal: Literal["min", "max"]
    reference: float | None = None  # the hypervolume's reference value


class Constraint(Model):
    """A bound on a metric: at most `max`, at least `min`."""

    metric: str
    max: float | None = None
    min: float | None = None

    @model_validator(mode="after")
    def _bound(self) -> Constraint:
        if (self.max is None) == (self.min is None):
            raise ValueError("should have exactly one of `min` and `max`")
        return self


class Results(Model):
    """Where run directories are made."""

    root: Path = Path("results")


class SpaceConfig(Model):
    """A search: the data, the objectives, the sampler, and the trial's tree with its search dimensions.

    `trial` and `controls` are trees (see `mtsearch.config.space`): a control is a fixed set of changes to the trial's defaults, trained
    beside the search.
    """

    name: str
    description: str = ""
    notes: str = Field("", description="Markdown for the page of a reference result: what its numbers are to be held against")
    data: DataConfig
    workers: int = Field(1, gt=0)
    resources: Resources = Resources()
    search: Search = Search()
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...] = ()
    results: Results = Results()
    delta_m: str | None = Field("stl", description="the control that Delta-m is measured against")
    controls: dict[str, dict[str, Any]] = Field(default_factory=dict)
    trial: dict[str, Any] = Field(default_factory=dict)
