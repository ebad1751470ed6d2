"""Networks whose function an unsafe compaction would change."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mtsearch.deploy import compact
from mtsearch.deploy.compare import first_difference


class Net(nn.Module):
    """Two convolutions with `between` in the middle; the second ignores half of its inputs."""

    def __init__(self, between, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.one, self.two = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3)
        self.relu = nn.ReLU(inplace=True)
        self.between = between
        with torch.no_grad():
            self.two.weight[:, [1, 3, 5, 6]] = 0

    def forward(self, x):
        return self.two(self.between(self, self.one(x)))


def equal(net: nn.Module, found: nn.Module, *sizes, dtype=torch.float64) -> bool:
    net, found = copy.deepcopy(net).to(dtype).eval(), copy.deepcopy(found).to(dtype).eval()
    with torch.no_grad():
        return all(
            first_difference(net(x.clone()), found(x.clone()), 1e-10) is None
            for size in sizes or ((2, 3, 8, 8), (7, 3, 8, 8))
            for x in [torch.randn(*size, dtype=dtype), torch.rand(*size, dtype=dtype) * 9]
        )


def statement(net, x):
    net.relu(x)
    return x


def test_inplace_activation_statement_is_kept():
    torch.manual_seed(0)
    net = Net(statement).eval()
    found = compact(net, (3, 8, 8)).model
    x = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(found(x), net(x))
    assert found.one.out_channels == found.two.in_channels == 4
    assert isinstance(found.relu, nn.ReLU) and found.relu.inplace


def alias(net, x):
    y = x[:, 1:2]
    y += x[:, :1]  # channel 0 flows into channel 1
    return x.roll(1, 1)


def swap(net, x):
    x[:, [0, 1]] = x[:, [1, 0]]
    return x


def detach_alias(net, x):
    y = x.detach()
    y[:, 2] = y[:, 1]
    return x


def custom_function(net, x):
    class Mix(torch.autograd.Function):
        @staticmethod
        def forward(ctx, v):
            return v.cumsum(1)

    return Mix.apply(x)


def through_numpy(net, x):
    return torch.from_numpy(x.numpy()[:, ::-1].copy())


def through_a_list(net, x):
    return torch.stack([x[:, i] * (i + 1) for i in range(x.shape[1])], 1)


def unbind(net, x):
    return torch.stack(x.unbind(1)[::-1], 1)


def aten(net, x):
    torch.ops.aten.mul_(x, torch.arange(x.shape[1]).view(1, -1, 1, 1))
    return x


def normalise(net, x):
    return F.normalize(x, dim=1)


def layer_norm(net, x):
    return F.layer_norm(x.movedim(1, -1), (x.shape[1],)).movedim(-1, 1)


def shuffle(net, x):
    b, c, h, w = x.shape
    return x.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)


def index_constant(net, x):
    return x[:, torch.tensor([7, 6, 5, 4, 3, 2, 1, 0])]


def repeat(net, x):
    return x.repeat(1, 2, 1, 1)[:, ::2]


def gather_max(net, x):
    return x * (x == x.max(1, keepdim=True).values)


def einsum(net, x):
    return torch.einsum("bchw,bdhw->bchw", x, x)


def mean_of_channels(net, x):
    return x - x.mean(1, keepdim=True)


def scalar_from_channels(net, x):
    return x * x.sum().abs()


def matrix(net, x):
    return (torch.eye(x.shape[1], dtype=x.dtype).flip(0) @ x.flatten(2)).view_as(x)


def zeros_like_copy(net, x):
    y = torch.zeros_like(x)
    y.copy_(x.flip(1))
    return y


def vmapped(net, x):
    return torch.vmap(lambda v: v.flip(0))(x)


def checkpointed(net, x):
    from torch.utils.checkpoint import checkpoint

    return checkpoint(lambda v: v.flip(1), x, use_reentrant=False)


def closure_weight(net, x):
    return F.conv2d(
        x, net.two.weight.transpose(0, 1).mean(1, keepdim=True).expand(8, 8, 3, 3), padding=1
    )


def parameters_sum(net, x):
    return x * sum(p.sum() for p in net.parameters())


def state_dict_read(net, x):
    return x * net.state_dict()["two.weight"].std()


def number_of_parameters(net, x):
    return x * sum(p.numel() for p in net.two.parameters())


def repr_read(net, x):
    return x * len(repr(net.two))


def call_forward(net, x):
    return F.pad(net.two.forward(x), (1, 1, 1, 1, 2, 2))


def autocast(net, x):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return x.flip(1)


ATTACKS = [
    statement, alias, swap, detach_alias, custom_function, through_numpy, through_a_list, unbind,
    aten, normalise, layer_norm, shuffle, index_constant, repeat, gather_max, einsum,
    mean_of_channels, scalar_from_channels, matrix, zeros_like_copy, vmapped, checkpointed,
    closure_weight, parameters_sum, state_dict_read, number_of_parameters, repr_read, call_forward,
    autocast,
]  # fmt: skip


@pytest.mark.parametrize("between", ATTACKS, ids=lambda f: f.__name__)
def test_mixing_channels_keeps_the_function(between):
    net = Net(between).eval()
    found = compact(net, (3, 8, 8))
    assert equal(net, found.model), found.notes


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_networks_are_compacted(dtype):
    net = Net(statement).eval().to(dtype)
    found = compact(net, (3, 8, 8))
    assert found.model.one.out_channels == 4
    assert next(found.model.parameters()).dtype == dtype
    assert equal(net, found.model)


@pytest.mark.parametrize("place", ["root", "layer", "pre", "container"])
def test_hooks_are_kept_and_hooked_layers_left(place):
    net = nn.Sequential(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), nn.Conv2d(8, 4, 3)).eval()
    with torch.no_grad():
        net[1].weight[:, ::2] = 0
    if place == "pre":
        net[1].register_forward_pre_hook(lambda m, args: (args[0].softmax(1),))
    else:
        module = {"root": net, "layer": net[0][0], "container": net[0]}[place]
        module.register_forward_hook(lambda m, args, out: out.softmax(1))
    found = compact(net, (3, 8, 8)).model
    assert equal(net, found)
    if place in ("layer", "container"):
        assert found[0][0].out_channels == 8


def test_constant_channels_count_through_padding():
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 3, padding=1), nn.Flatten()
    ).eval()
    with torch.no_grad():
        net[1].weight[:4] = 0
        net[1].bias.normal_()
        net[2].weight[:, 2:4] = 0
    found = compact(net, (3, 8, 8)).model
    assert equal(net, found)
    assert found[2].in_channels == 6


@pytest.mark.parametrize("read", ["weight", "in_features", "parameters", "stored"])
def test_layers_that_other_code_reads_are_left_alone(read):
    class Reads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 3)
            self.stored = [self.b.weight]

        def forward(self, x):
            factor = {
                "weight": lambda: self.b.weight.abs().sum(),
                "in_features": lambda: self.b.in_features,
                "parameters": lambda: sum(p.numel() for p in self.b.parameters()),
                "stored": lambda: self.stored[0].abs().sum(),
            }[read]()
            return self.b(torch.relu(self.a(x))) * factor

    net = Reads().eval()
    with torch.no_grad():
        net.b.weight[:, ::2] = 0
    found = compact(net, (6,)).model
    assert equal(net, found, (2, 6), (5, 6))
    assert found.b.in_features == 8


@pytest.mark.parametrize("where", ["value", "batch", "optional"])
def test_paths_that_were_not_run_stay_correct(where):
    class Paths(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(6, 8), nn.Linear(8, 3), nn.Linear(8, 3)

        def forward(self, x):
            h = torch.relu(self.a(x))
            other = x.max() > 50 if where == "value" else len(x) > 4
            return F.linear(h, self.b.weight.flip(1)) if other else self.b(h)

    class OptionalPaths(Paths):
        def forward(self, x, other=False):
            h = torch.relu(self.a(x))
            return self.c(h) if other else self.b(h)

    net = (OptionalPaths if where == "optional" else Paths)().eval()
    with torch.no_grad():
        net.b.weight[:, :6] = 0
    found = compact(net, (6,)).model
    assert equal(net, found, (2, 6), (9, 6))
    x = 60 * torch.ones(2, 6)
    torch.testing.assert_close(found(x), net(x))
    if where == "optional":
        torch.testing.assert_close(found(x, other=True), net(x, other=True))


def test_networks_that_cannot_be_compared_are_unchanged():
    class Random(nn.Module):
        calls = 0

        def forward(self, x):
            Random.calls += 1
            return x * Random.calls

    for net, note in [
        (Random(), "two runs on the same input"),
        (nn.Sequential(nn.Linear(3, 4)), "does not run in float64"),
    ]:
        found = compact(net, (6,))
        assert note in found.notes[0]
        assert str(found.model) == str(net)


def test_transformer_layers_of_torch_are_left_alone():
    net = nn.Sequential(
        nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.Linear(8, 16), nn.Linear(16, 2)
    ).eval()
    with torch.no_grad():
        net[0].linear2.weight[:, ::2] = 0
        net[2].weight[:, ::2] = 0
    found = compact(net, (5, 8)).model
    assert equal(net, found, (2, 5, 8), (3, 5, 8))
    assert found[0].linear2.in_features == 16
    assert found[1].out_features == 8


def test_hooks_on_all_modules_leave_the_network_unchanged():
    net = Net(statement).eval()
    handle = nn.modules.module.register_module_forward_hook(lambda m, args, out: out)
    try:
        found = compact(net, (3, 8, 8))
    finally:
        handle.remove()
    assert "a hook on all modules" in found.notes[0]
    assert found.model.one.out_channels == 8


@pytest.mark.parametrize("image", [(3, 8, 8), (3, 12, 9)])
def test_compacted_networks_take_other_image_sizes(image):
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ).eval()
    with torch.no_grad():
        net[2].weight[:, ::2] = 0
    found = compact(net, (3, 8, 8)).model
    assert found[0].out_channels == 4
    assert equal(net, found, (2, *image))
