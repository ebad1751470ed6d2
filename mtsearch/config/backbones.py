"""Settings of backbones: the networks that architectures are made over."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from mtsearch.config.base import MethodConfig
from mtsearch.config.registry import method
from mtsearch.config.tuning import Tune


class BackboneConfig(MethodConfig):
    """Settings of all backbones."""

    tune: Tune = Field(
        "all",
        description=(
            "the parameters of the trunk that are trained: all, head (none of the trunk), {last: N}"
            " blocks, or {lora: {rank, alpha, targets}}"
        ),
    )


@method("backbone", "mm", "mtsearch.models.trunk_mm:mm")
class BackboneMMConfig(BackboneConfig):
    """The MultiMNIST trunk of MDMTN: two 5x5 convolutions and a linear layer to 50."""

    name: Literal["mm"] = "mm"


@method("backbone", "cm", "mtsearch.models.trunk_cm:cm")
class BackboneCMConfig(BackboneConfig):
    """The Cifar10Mnist trunk of MDMTN: two 3x3 convolutions with batch norm and a linear layer to
    32."""

    name: Literal["cm"] = "cm"


@method("backbone", "efficientnet_cifar", "mtsearch.models.trunk_efficientnet:efficientnet_cifar")
class BackboneEfficientNetCIFARConfig(BackboneConfig):
    """The simplified EfficientNet-B0 that CIFAR-10 code uses: 3x3 kernels, ReLU, no pooling, for
    images of up to 32 pixels a side."""

    name: Literal["efficientnet_cifar"] = "efficientnet_cifar"
    width: float = Field(
        1.0, gt=0, le=4, description="times the published channels; the cost grows with its square"
    )
    depth: float = Field(
        1.0, gt=0, le=4, description="times the published blocks a stage, rounded up"
    )
    se_place: Literal["after", "before"] = Field(
        "after",
        description=(
            "of squeeze-and-excitation: after a block's projection, or before it, as in the"
            " published B0"
        ),
    )
    se_ratio: int = Field(
        16, ge=1, description="the channels that squeeze-and-excitation weighs over those inside it"
    )
    se_least: int = Field(1, ge=1, description="of the channels inside squeeze-and-excitation")
    stride_skip: Literal["own", "none", "pooled"] = Field(
        "own",
        description="beside a block of stride 2: its own output, nothing, or its pooled input",
    )
    pool: bool = Field(
        False,
        description=(
            "average over the last map, which takes larger images and changes nothing up to 32"
            " pixels"
        ),
    )


@method("backbone", "torchvision", "mtsearch.models.trunk_torchvision:network")
class BackboneTorchvisionConfig(BackboneConfig):
    """Any classification network of torchvision without its last layer; `weights` is a local state
    dict (safetensors or weights-only)."""

    name: Literal["torchvision"] = "torchvision"
    model: str
    weights: Path | None = None


@method("backbone", "none", "mtsearch.models.own:no_backbone")
class BackboneNoneConfig(MethodConfig):
    """No trunk, for the architecture `own`, whose network is complete."""

    input_dims: ClassVar[tuple[int, ...]] = ()  # any number of axes

    name: Literal["none"] = "none"


@method("backbone", "timm", "mtsearch.models.trunk_timm:network")
class BackboneTimmConfig(BackboneConfig):
    """Any network of the package timm without its classifier; `weights` is a local state dict
    (safetensors or weights-only). Needs `mtsearch[timm]`."""

    name: Literal["timm"] = "timm"
    model: str
    weights: Path | None = None


@method("backbone", "hf", "mtsearch.models.trunk_hf:network")
class BackboneHFConfig(BackboneConfig):
    """Any vision network of the package transformers without its heads; `model` is a local folder,
    or a name in the local cache of transformers. Needs `mtsearch[hf]`."""

    name: Literal["hf"] = "hf"
    model: str
    pretrained: bool = Field(
        True, description="whether its weights are loaded; false: random ones, by its `config.json`"
    )


@method("backbone", "wrn", "mtsearch.models.trunk_wrn:wrn")
class BackboneWRNConfig(BackboneConfig):
    """A wide residual network of `depth` layers (10, 16, 22, ...) with widths 16, 32, 64 times
    `widen` (Zagoruyko & Komodakis 2016)."""

    name: Literal["wrn"] = "wrn"
    depth: int = 28
    widen: int = Field(4, gt=0)

    @field_validator("depth")
    @classmethod
    def _whole_blocks(cls, value: int) -> int:
        if value < 10 or value % 6 != 4:
            raise ValueError(f"should be 10, 16, 22, 28 or so on in steps of 6. Found {value}")
        return value


Width = Annotated[int, Field(gt=0)]


@method("backbone", "segnet", "mtsearch.models.trunk_segnet:segnet")
class BackboneSegNetConfig(BackboneConfig):
    """SegNet: an encoder of five levels with `widths` channels, and its mirror that unpools
    (Badrinarayanan et al. 2017)."""

    name: Literal["segnet"] = "segnet"
    widths: tuple[Width, Width, Width, Width, Width] = (64, 128, 256, 512, 512)


@method("backbone", "vdsr", "mtsearch.models.trunk_vdsr:vdsr")
class BackboneVDSRConfig(BackboneConfig):
    """`depth` plain 3x3 convolutions of `width` filters, the head's among them; restorations add to
    the image (Kim et al. 2016)."""

    name: Literal["vdsr"] = "vdsr"
    depth: int = Field(20, ge=2)
    width: int = Field(64, gt=0)


@method("backbone", "edsr", "mtsearch.models.trunk_edsr:edsr")
class BackboneEDSRConfig(BackboneConfig):
    """`blocks` residual blocks of `width` filters on a grid `scale` times coarser than the image,
    then pixel shuffles (Lim et al. 2017)."""

    name: Literal["edsr"] = "edsr"
    blocks: int = Field(18, gt=0)
    width: int = Field(64, gt=0)
    scale: Literal[1, 2, 4, 8] = 2


@method("backbone", "ktde", "mtsearch.models.trunk_ktde:ktde")
class BackboneKTDEConfig(BackboneConfig):
    """`blocks` residual blocks of `width` filters between two convolutions, at the image's size: a
    branch of the architecture `mixing`."""

    name: Literal["ktde"] = "ktde"
    blocks: int = Field(3, gt=0)
    width: int = Field(64, gt=0)


Activation = Literal["relu", "gelu", "silu", "tanh"]
LayerNorm = Literal["none", "batch", "layer"]


@method("backbone", "mlp", "mtsearch.models.trunk_mlp:mlp")
class BackboneMLPConfig(BackboneConfig):
    """Fully connected layers, for columns of numbers; other inputs are flattened."""

    name: Literal["mlp"] = "mlp"
    widths: tuple[Width, ...] = Field(
        (128, 128), min_length=1, description="the outputs of each layer"
    )
    activation: Activation = Field("relu", description="after each layer")
    norm: LayerNorm = Field("none", description="between each layer and its activation")
    dropout: float = Field(0.0, ge=0, lt=1, description="the probability after each activation")


@method("backbone", "conv1d", "mtsearch.models.trunk_conv1d:conv1d")
class BackboneConv1dConfig(BackboneConfig):
    """Convolutions along sequences of shape [channels, length], each with a max-pool; the feature
    vector is the mean over the length."""

    name: Literal["conv1d"] = "conv1d"
    channels: tuple[Width, ...] = Field(
        (32, 64, 64), min_length=1, description="the outputs of each convolution"
    )
    kernel: int = Field(5, ge=1, description="positions that a convolution reads, an odd number")
    pool: int = Field(
        2, ge=1, description="positions that the max-pool after each convolution joins"
    )
    activation: Activation = Field("relu", description="after each convolution")
    norm: LayerNorm = Field("batch", description="between each convolution and its activation")
    dropout: float = Field(0.0, ge=0, lt=1, description="the probability after each activation")

    @field_validator("kernel")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError(f"should be an odd number. Found {value}")
        return value
