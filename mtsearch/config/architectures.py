"""Settings of architectures: how tasks share a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mtsearch.config.base import MethodConfig, Model, Named, field_error
from mtsearch.config.registry import method


@method("architecture", "stl", "mtsearch.models.stl:STL")
class STLConfig(MethodConfig):
    """One network per task, nothing shared: the single-task control."""

    name: Literal["stl"] = "stl"


Weight = Annotated[float, Field(ge=0)]
Norm = Literal["shared", "task_statistics", "task_affine", "group"]


class _Trunk(MethodConfig):
    """An architecture over one trunk; `norm` says whose batch statistics the trunk uses (see
    `mtsearch.models.norm`)."""

    norm: Norm = "shared"


@method("architecture", "hps", "mtsearch.models.hps:HPS")
class HPSConfig(_Trunk):
    """Hard parameter sharing: one trunk, one head per task (Caruana 1997)."""

    name: Literal["hps"] = "hps"
    split: int | None = Field(
        None,
        ge=1,
        description=(
            "parts of the trunk's body that the tasks share, from the image on; each has the later"
            " ones of its own. null: all"
        ),
    )


@method("architecture", "mdmtn", "mtsearch.models.mdmtn:MDMTN")
class MDMTNConfig(_Trunk):
    """A shared trunk plus one monitor per task on the raw image, mixed by a learnable pair (Hotegni
    et al. 2024)."""

    name: Literal["mdmtn"] = "mdmtn"
    mixing: Literal["learnable", "static"] = "learnable"


@method("architecture", "mtan", "mtsearch.models.mtan:MTAN")
class MTANConfig(_Trunk):
    """A shared trunk whose stages every task weighs with attention of its own (Liu et al. 2019)."""

    name: Literal["mtan"] = "mtan"


@method("architecture", "kdmtl", "mtsearch.models.kdmtl:KDMTL")
class KDMTLConfig(_Trunk):
    """Hard parameter sharing drawn to the features of single-task networks, which are trained first
    (Li & Bilen 2020)."""

    name: Literal["kdmtl"] = "kdmtl"
    weight: Weight | dict[str, Weight] = Field(
        0.025, description="of the distance to the teacher's features, for all tasks or by task"
    )
    teacher_epochs: int = Field(
        12, gt=0, description="epochs of the teachers, before those of the network itself"
    )


@method("architecture", "mtln", "mtsearch.models.mtln:MTLN")
class MTLNConfig(_Trunk):
    """A shared trunk whose feature maps each task selects from by soft attention, for scene sets
    and pixels (Zheng et al. 2022)."""

    name: Literal["mtln"] = "mtln"
    attention: int = Field(
        4,
        ge=0,
        description=(
            "blocks with attention, counted from the last; the mask of others is 1, and what"
            " nothing reads is left out. Other ways to switch it by block make none but these"
            " networks: what lies below a block without attention reaches no output"
        ),
    )
    ratio: float = Field(
        1.0, gt=0, le=1, description="hidden width of an attention module over its block's width"
    )
    form: Literal["gate", "residual"] = Field("gate", description="a * G, or (1 + a) * G")
    extractors: Literal["shared", "per_task"] = "shared"
    convs: int = Field(1, ge=1, le=3, description="convolutions of an extractor")
    width: float = Field(1.0, gt=0, le=4, description="width of the task branches over the trunk's")
    bias: bool = Field(
        False, description="biases in the convolutions of attention and extractors, as MTAN has"
    )
    head_hidden: int = Field(
        0, ge=0, description="hidden units of the heads on feature vectors; 0 is a linear head"
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="before the last layer of the heads on feature vectors"
    )
    head_mode: Literal["per_task", "shared"] = Field(
        "per_task", description="shared: one head for tasks with the same classes"
    )

    @model_validator(mode="after")
    def _no_idle_settings(self) -> MTLNConfig:
        if self.attention == 0 and (self.ratio != 1 or self.form != "gate"):
            raise ValueError(
                "with `attention = 0` does not use `ratio` and `form`; leave them out. Found"
                f" {self.ratio:g}, {self.form}"
            )
        return self


@method("architecture", "mtln_segnet", "mtsearch.models.mtln_segnet:MTLNSegNet")
class MTLNSegNetConfig(MethodConfig):
    """Attention branches over the encoder and the decoder of the backbone `segnet` (MTAN's dense
    variant with a scene task)."""

    name: Literal["mtln_segnet"] = "mtln_segnet"
    ratio: float = Field(
        1.0, gt=0, le=1, description="hidden width of an attention module over its level's width"
    )
    form: Literal["gate", "residual"] = Field("gate", description="a * G, or (1 + a) * G")


@method(
    "architecture",
    "broadcast_scene",
    "mtsearch.models.broadcast_scene:BroadcastScene",
    former=("painted",),
)
class BroadcastSceneConfig(MethodConfig):
    """Baseline for segmentations of single scenes: every pixel gets the class of its scene, the
    predicted one or, in the evaluation, the ground-truth one."""

    name: Literal["broadcast_scene"] = "broadcast_scene"
    scene: Literal["predicted", "labelled"] = "predicted"


@method("branch_input", "image", "mtsearch.models.branch_inputs:image")
class ImageInputConfig(MethodConfig):
    """The image."""

    name: Literal["image"] = "image"


@method("branch_input", "resampled", "mtsearch.models.branch_inputs:resampled")
class ResampledInputConfig(MethodConfig):
    """The image made `factor` times smaller and as large again by another filter."""

    name: Literal["resampled"] = "resampled"
    factor: int = Field(2, ge=2)
    filter: Literal["nearest", "bilinear", "bicubic"] = "bilinear"


@method("branch_input", "network", "mtsearch.models.branch_inputs:frozen")
class NetworkInputConfig(MethodConfig):
    """What a trained network of one restoration makes of the image; it stays as it is. `weights`:
    the `model.safetensors` of its export."""

    name: Literal["network"] = "network"
    backbone: Annotated[MethodConfig, Named("backbone")]
    weights: Path

    @model_validator(mode="after")
    def _all_frozen(self) -> NetworkInputConfig:
        if getattr(self.backbone, "tune", "all") != "all":
            raise field_error("backbone.tune", "has no effect: the network is frozen. Leave it out")
        return self


@method("architecture", "mixing", "mtsearch.models.mixing:Mixing")
class MixingConfig(MethodConfig):
    """A network per task, whose features one learnable matrix mixes with the others' between stages
    (cross-stitch by one matrix)."""

    name: Literal["mixing"] = "mixing"
    branches: int = Field(
        1,
        gt=0,
        le=8,
        description="networks per task; their outputs are summed with learnable weights",
    )
    transfer: bool = Field(True, description="false: no mixing, the ablation")
    inputs: tuple[Annotated[MethodConfig, Named("branch_input")], ...] = Field(
        (), description="the input of each of a task's branches; the image when empty"
    )
    branch_losses: bool = Field(
        False, description="adds a loss of each branch's output to the loss of their sum"
    )

    @model_validator(mode="after")
    def _inputs_fit(self) -> MixingConfig:
        if self.inputs and len(self.inputs) != self.branches:
            raise ValueError(
                f"should have as many `inputs` as `branches`, or none. Found {len(self.inputs)} for"
                f" {self.branches}"
            )
        if self.branch_losses and self.branches == 1:
            raise ValueError("does not use `branch_losses` with one branch a task. Leave it out")
        return self


@method("architecture", "cross_stitch", "mtsearch.models.cross_stitch:CrossStitch")
class CrossStitchConfig(MethodConfig):
    """A network per task, whose features learnable weights mix with the others' after each stage
    (Misra et al. 2016)."""

    name: Literal["cross_stitch"] = "cross_stitch"
    units: Literal["channel", "layer"] = Field(
        "channel", description="a weight for each pair of tasks and channel, or for each pair"
    )


Experts = Annotated[int, Field(gt=0, le=16)]


class InputPart(Model):
    """One tensor of the input of a network of your own, which rows of numbers are turned into.

    `key` is its name in a dict, or its position in a tuple; null where the input is one tensor.
    """

    key: str | int | None = None
    shape: tuple[int, ...]
    dtype: Literal["float32", "int64", "int32", "uint8", "bool"] = "float32"


@method("architecture", "own", "mtsearch.models.own:OwnNetwork")
class OwnConfig(MethodConfig):
    """A network of your own: `module` is `FILE.py:FUNCTION` or `package.module:FUNCTION` of a
    plug-in. The function returns a torch module whose `forward` returns a dict of outputs by
    task."""

    name: Literal["own"] = "own"
    module: str = Field(min_length=1)
    arguments: dict[str, Any] = Field(
        default_factory=dict, description="keyword arguments of the function"
    )
    shared: tuple[str, ...] = Field(
        (), description="modules of the network whose outputs all tasks share"
    )
    sparse: tuple[str, ...] = Field(
        (),
        description=(
            "linear layers and convolutions whose input rows may become zero, or modules that"
            " contain them; by default those of the shared modules, without the first"
        ),
    )
    inputs: tuple[InputPart, ...] = Field(
        (),
        description=(
            "the tensors that data loaders yielded; empty: images (B, C, H, W), columns (B, n) or"
            " sequences (B, C, length) of a data card"
        ),
    )


@method("architecture", "mmoe", "mtsearch.models.experts:MMoE")
class MMoEConfig(MethodConfig):
    """Several shared trunks, whose features each task sums with weights that depend on the image
    (Ma et al. 2018)."""

    name: Literal["mmoe"] = "mmoe"
    experts: Experts = Field(3, description="shared trunks")


@method("architecture", "cgc", "mtsearch.models.ple:cgc")
class CGCConfig(MethodConfig):
    """As `mmoe`, with further trunks of each task: progressive layered extraction (PLE) with one
    level or several (Tang et al. 2020)."""

    name: Literal["cgc"] = "cgc"
    experts: Experts = Field(1, description="shared trunks")
    own: Experts = Field(1, description="further trunks of each task")
    levels: int = Field(
        1,
        ge=1,
        description=(
            "times that features are mixed; more than 1 divides the stages of the trunks, so that"
            " the backbone needs at least as many stages"
        ),
    )


@method("architecture", "dselect_k", "mtsearch.models.experts:DSelectK")
class DSelectKConfig(MethodConfig):
    """As `mmoe`, with gates that learn to choose a few of the trunks for each task (Hazimeh et al.
    2021)."""

    name: Literal["dselect_k"] = "dselect_k"
    experts: Literal[2, 4, 8, 16] = Field(4, description="shared trunks")
    chosen: int = Field(2, gt=0, le=16, description="trunks that a task reads in the end, at most")
    gamma: float = Field(
        1.0, gt=0, description="width of the smooth step between not choosing and choosing"
    )
    entropy: Weight = Field(
        0.001, description="weight of the selectors' entropy in the loss of their task"
    )
    per_example: bool = Field(
        False, description="the choice depends on the image; false: on the task alone"
    )

    @model_validator(mode="after")
    def _fewer_than_all(self) -> DSelectKConfig:
        if self.chosen > self.experts:
            raise ValueError(
                f"should have at most as many `chosen` as `experts`. Found {self.chosen} of"
                f" {self.experts}"
            )
        return self
