"""Networks as users write them, for the tests of compaction."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
import torchvision
from torch import nn

SIZE = 32


@dataclass(frozen=True)
class Entry:
    """A network of the zoo.

    Attributes:
        make: builds it.
        shape: of one sample.
        smaller: whether compaction has to make it smaller.
        plain: a plain CNN, which has to lose 40 % of its multiply-adds.
        quick: whether the fast tier has it.
    """

    make: Callable[[], nn.Module]
    shape: tuple[int, ...] = (3, SIZE, SIZE)
    smaller: bool = True
    plain: bool = False
    quick: bool = False


ZOO: dict[str, Entry] = {}


def entry(name: str, **settings):
    def add(make):
        ZOO[name] = Entry(make, **settings)
        return make

    return add


def _vision(name: str, **settings):
    def make():
        return torchvision.models.get_model(name, weights=None, num_classes=10)

    ZOO[name] = Entry(make, **settings)


# torchvision ------------------------------------------------------------------------------------
for _name in ("resnet18", "resnet34", "resnet50", "wide_resnet50_2"):
    _vision(_name, plain=True, quick=_name == "resnet18")
for _name in ("vgg11", "vgg11_bn", "vgg16_bn", "alexnet"):
    _vision(_name, plain=True, shape=(3, 64, 64))
for _name in ("squeezenet1_1", "densenet121"):
    _vision(_name, plain=True, shape=(3, 64, 64))
_vision("googlenet", plain=True, shape=(3, 64, 64))
_vision("resnext50_32x4d")
_vision("mobilenet_v2", quick=True)
_vision("mobilenet_v3_small", quick=True)
_vision("mobilenet_v3_large")
_vision("mnasnet0_5")
_vision("shufflenet_v2_x0_5")
_vision("efficientnet_b0")
_vision("efficientnet_v2_s")
_vision("regnet_y_400mf")
_vision("regnet_x_400mf")
_vision("convnext_tiny")


@entry("vit", quick=True)
def _vit():
    return torchvision.models.VisionTransformer(SIZE, 8, 2, 4, 32, 64, num_classes=10)


@entry("swin")
def _swin():
    return torchvision.models.SwinTransformer(
        patch_size=[2, 2], embed_dim=16, depths=[2, 2], num_heads=[2, 4], window_size=[4, 4],
        num_classes=10,
    )  # fmt: skip


@entry("swin_v2")
def _swin_v2():
    from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformerBlockV2

    return torchvision.models.SwinTransformer(
        patch_size=[2, 2], embed_dim=16, depths=[2, 2], num_heads=[2, 4], window_size=[4, 4],
        num_classes=10, block=SwinTransformerBlockV2, downsample_layer=PatchMergingV2,
    )  # fmt: skip


@entry("fcn_resnet50", shape=(3, 64, 64))
def _fcn():
    return torchvision.models.segmentation.fcn_resnet50(
        weights=None, weights_backbone=None, num_classes=3
    )


@entry("lraspp_mobilenet", shape=(3, 64, 64))
def _lraspp():
    return torchvision.models.segmentation.lraspp_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=3
    )


# plain ------------------------------------------------------------------------------------------
@entry("sequential", plain=True, quick=True)
def _sequential():
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.AdaptiveAvgPool2d(2),
        nn.Flatten(), nn.Linear(256, 64), nn.ReLU(), nn.Dropout(), nn.Linear(64, 10),
    )  # fmt: skip


@entry("mlp", shape=(20,), plain=True, quick=True)
def _mlp():
    return nn.Sequential(
        nn.Linear(20, 64), nn.BatchNorm1d(64), nn.GELU(), nn.Linear(64, 64), nn.Tanh(),
        nn.Linear(64, 5),
    )  # fmt: skip


@entry("conv1d", shape=(4, 40), plain=True)
def _conv1d():
    return nn.Sequential(
        nn.Conv1d(4, 16, 5), nn.BatchNorm1d(16), nn.ReLU(), nn.Conv1d(16, 32, 5), nn.ReLU(),
        nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(32, 4),
    )  # fmt: skip


@entry("conv3d", shape=(2, 6, 10, 10), plain=True)
def _conv3d():
    return nn.Sequential(
        nn.Conv3d(2, 8, 3, padding=1), nn.BatchNorm3d(8), nn.ReLU(), nn.MaxPool3d(2),
        nn.Conv3d(8, 16, 3, padding=1, padding_mode="circular"), nn.ReLU(),
        nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(16, 4),
    )  # fmt: skip


class Block(nn.Module):
    """conv, batch norm, ReLU, twice."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.one = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm = nn.BatchNorm2d(outputs)
        self.two = nn.Conv2d(outputs, outputs, 3, padding=1)

    def forward(self, x):
        return F.relu(self.two(F.relu(self.norm(self.one(x)), inplace=True)))


class UNet(nn.Module):
    """Two levels; `up` is `interpolate` or `transposed`."""

    def __init__(self, up: str) -> None:
        super().__init__()
        self.a, self.b, self.c = Block(3, 16), Block(16, 32), Block(48, 16)
        self.up = nn.ConvTranspose2d(32, 32, 2, stride=2) if up == "transposed" else None
        self.out = nn.Conv2d(16, 3, 1)

    def forward(self, x):
        skip = self.a(x)
        deep = self.b(F.max_pool2d(skip, 2))
        if self.up is not None:
            deep = self.up(deep)
        else:
            deep = F.interpolate(deep, scale_factor=2, mode="bilinear", align_corners=False)
        return {"pixels": self.out(self.c(torch.cat([skip, deep], 1)))}


ZOO["unet"] = Entry(functools.partial(UNet, "interpolate"), plain=True, quick=True)
ZOO["unet_transposed"] = Entry(functools.partial(UNet, "transposed"))


class Body(nn.Module):
    """Two convolutions and a head around `middle`, which gets the network and the first's maps."""

    def __init__(self, middle, width: int = 32, extra=None, inner: int = 32) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.two = nn.Conv2d(inner, 32, 3, padding=1)
        self.head = nn.Linear(32, 5)
        self.middle = middle
        if extra is not None:
            self.extra = extra()

    def forward(self, x):
        x = self.middle(self, self.norm(self.one(x)))
        x = self.two(x).relu()
        return self.head(x.mean((2, 3)))


def body(name: str, extra=None, width: int = 32, **settings):
    def add(middle):
        ZOO[name] = Entry(functools.partial(Body, middle, width, extra), **settings)
        return middle

    return add


# in-place code ----------------------------------------------------------------------------------
@body("inplace_relu_statement", plain=True, quick=True)
def _statement(net, x):
    net.relu(x)
    return x


@body("inplace_mul_statement", plain=True)
def _mul(net, x):
    x.mul_(0.5)
    F.relu_(x)
    return x


@body("inplace_add", plain=True)
def _add(net, x):
    x += 1
    x -= 0.3
    return x.clamp_(min=0)


@body("inplace_channel", smaller=True, quick=True)
def _channel(net, x):
    x[:, 0] = 0
    return x


@body("inplace_view", smaller=True)
def _view(net, x):
    flat = x.flatten(2)
    flat[:, :, 0] = 3
    flat.mul_(2)
    return x


@body("inplace_crop", plain=True)
def _crop(net, x):
    x[:, :, 1:-1, 1:-1].relu_()
    return x


@body("inplace_out", smaller=True)
def _out(net, x):
    buffer = torch.empty_like(x)
    torch.mul(x, 2.0, out=buffer)
    return torch.relu(buffer)


@body("inplace_data", smaller=True)
def _data(net, x):
    x.data.mul_(torch.arange(x.shape[1], dtype=x.dtype).view(1, -1, 1, 1))
    return x


# parameters and attributes that other code reads ------------------------------------------------
@body("norm_weight_read", smaller=True, quick=True)
def _norm_read(net, x):
    return x * net.norm.weight.sum()


@body("attribute_read", smaller=True)
def _attribute(net, x):
    return x / net.two.in_channels**0.5


@body("shape_read", smaller=True)
def _shape(net, x):
    return x / x.shape[1]


class TiedAutoencoder(nn.Module):
    """The decoder is the encoder's transposed weight."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.middle = nn.Linear(20, 16), nn.Linear(16, 16)

    def forward(self, x):
        code = torch.relu(self.middle(torch.relu(self.encoder(x))))
        return F.linear(code, self.encoder.weight.t())


ZOO["tied_autoencoder"] = Entry(TiedAutoencoder, shape=(20,), quick=True)


class TiedParameter(nn.Module):
    """Two layers have one parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 4)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.c(torch.relu(self.b(torch.relu(self.a(x)))))


ZOO["tied_parameter"] = Entry(TiedParameter, shape=(16,))


class Shared(nn.Module):
    """One block is used three times."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block, self.head = nn.Conv2d(3, 16, 3), Block(16, 16), nn.Linear(16, 4)

    def forward(self, x):
        x = self.stem(x)
        for _ in range(3):
            x = x + self.block(x)
        return self.head(x.amax((2, 3)))


ZOO["shared_block"] = Entry(Shared, plain=True)


class Listed(nn.Module):
    """Layers that `forward` reaches through a Python list."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 8, 3)
        self.steps = [self.one, torch.relu, self.two]

    def forward(self, x):
        for step in self.steps:
            x = step(x)
        return x


ZOO["layers_in_a_list"] = Entry(Listed, plain=True)


# hooks and parametrisations ---------------------------------------------------------------------
@entry("softmax_hook", quick=True)
def _hook():
    net = _sequential()
    net[3].register_forward_hook(lambda module, args, output: output.softmax(1))
    return net


@entry("pre_hook")
def _pre_hook():
    net = _sequential()
    net[3].register_forward_pre_hook(lambda module, args: (args[0].cumsum(1),))
    return net


@entry("root_hook")
def _root_hook():
    net = _sequential()
    net.register_forward_hook(lambda module, args, output: output.softmax(1))
    return net


@entry("weight_norm")
def _weight_norm():
    net = _sequential()
    nn.utils.parametrizations.weight_norm(net[3])
    return net


@entry("spectral_norm")
def _spectral_norm():
    net = _sequential()
    nn.utils.parametrizations.spectral_norm(net[3])
    return net


@entry("pruned", quick=True)
def _pruned():
    from torch.nn.utils import prune

    net = _sequential()
    prune.random_unstructured(net[3], "weight", 0.3)
    prune.random_unstructured(net[12], "weight", 0.3)
    return net


# control flow and state -------------------------------------------------------------------------
@body("value_control_flow", quick=True)
def _control(net, x):
    return x if x.sum() > 0 else -x


@body("none_control_flow", plain=True)
def _none(net, x, skip=None):
    if skip is None:
        skip = x
    return F.relu(x + skip) if isinstance(x, torch.Tensor) else x


@body("batch_control_flow")
def _batch(net, x):
    return x if len(x) > 4 else x.relu()


@body("random", smaller=False)
def _random(net, x):
    return x + torch.rand(()) if F.dropout(x.new_ones(99), 0.5, training=True).sum() else x


class Counting(nn.Module):
    """The function changes with every call of the same object."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.calls = _sequential(), [0]

    def forward(self, x):
        COUNTED[0] += 1
        return self.net(x) * COUNTED[0]


COUNTED = [0]
ZOO["global_state"] = Entry(Counting, smaller=False, quick=True)


class Optional(nn.Module):
    """A second argument selects other code."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = (
            nn.Conv2d(3, 16, 3),
            nn.Conv2d(16, 8, 3),
            nn.Conv2d(16, 8, 1),
        )

    def forward(self, x, fine=False):
        h = self.one(x).relu()
        return self.three(h) if fine else self.two(h)


ZOO["optional_argument"] = Entry(Optional)


# operations that mix channels -------------------------------------------------------------------
@body("glu", width=64)
def _glu(net, x):
    return F.glu(x, 1)


@body("chunk", width=64)
def _chunk(net, x):
    a, b = x.chunk(2, 1)
    return a * b.sigmoid()


@body("channel_softmax")
def _softmax(net, x):
    return x.softmax(1)


@body("group_norm", extra=lambda: nn.GroupNorm(4, 32))
def _group_norm(net, x):
    return net.extra(x)


@body("squeeze_excite", plain=False, extra=lambda: nn.Sequential(
    nn.AdaptiveAvgPool2d(1), nn.Conv2d(32, 8, 1), nn.ReLU(), nn.Conv2d(8, 32, 1), nn.Sigmoid()
))  # fmt: skip
def _excite(net, x):
    return x * net.extra(x)


@body("channel_pad", width=24)
def _channel_pad(net, x):
    return F.pad(x, (0, 0, 0, 0, 0, 8))


@body("grouped", extra=lambda: nn.Conv2d(32, 32, 3, padding=1, groups=4))
def _grouped(net, x):
    return net.extra(x)


@body("depthwise", plain=False, extra=lambda: nn.Conv2d(32, 32, 3, padding=1, groups=32))
def _depthwise(net, x):
    return net.extra(x)


@body("literal_view")
def _literal(net, x):
    return (
        x.view(-1, 32, SIZE * SIZE).transpose(1, 2).reshape(-1, SIZE, SIZE, 32).permute(0, 3, 1, 2)
    )


@body("batch_flatten")
def _batch_flatten(net, x):
    return x.flatten(0, 2).relu().view(x.shape)


class Encoder(nn.Module):
    """torch's own transformer and recurrent layers."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(8, 16)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.lstm = nn.LSTM(16, 12, batch_first=True)
        self.inner, self.head = nn.Linear(12, 24), nn.Linear(24, 3)

    def forward(self, x):
        x, _ = self.lstm(self.layer(self.embed(x)))
        return self.head(torch.relu(self.inner(x[:, -1])))


ZOO["torch_encoder_layer"] = Entry(Encoder, shape=(6, 8), quick=True)


class Scripted(nn.Module):
    """A part is a ScriptModule."""

    def __init__(self) -> None:
        super().__init__()
        self.part = torch.jit.script(nn.Sequential(nn.Linear(20, 16), nn.ReLU()))
        self.one, self.two = nn.Linear(16, 16), nn.Linear(16, 4)

    def forward(self, x):
        return self.two(torch.relu(self.one(self.part(x))))


ZOO["scripted_part"] = Entry(Scripted, shape=(20,))


@entry("scripted", shape=(20,), smaller=False)
def _scripted():
    return torch.jit.script(_mlp())


class Several(nn.Module):
    """A tuple of a dict and a list."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a, self.b = Block(3, 16), nn.Conv2d(16, 3, 1), nn.Linear(16, 4)

    def forward(self, x):
        x = self.stem(x)
        return {"a": self.a(x)}, [self.b(x.mean([2, 3]))]


ZOO["several_outputs"] = Entry(Several, plain=True)
