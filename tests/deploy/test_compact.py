"""Compaction: smaller networks with equal outputs."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import (
    ARCHITECTURES,
    BACKBONES,
    DENSE,
    TASKS,
    difference,
    rows_of,
    serving,
    settled,
    trained,
)
from torch import nn

from mtsearch.config import schema
from mtsearch.deploy.compact import compact
from mtsearch.deploy.layers import Reader, smaller
from mtsearch.deploy.rows import group_rows, live_inputs
from mtsearch.models import build_model, model_macs
from mtsearch.sparsity import find_sharing, tie_


def size(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def random_rows(model, shape):
    generator = torch.Generator().manual_seed(1)
    for name in model.prunable:
        rows = rows_of(model, name)
        rows[torch.rand(len(rows), generator=generator) < 0.6] = 0


def whole_channels(model, shape):
    """Every pixel of some channels is ignored by the layer after the flattening, and some channels
    by the convolution before it."""
    for name in model.prunable:
        layer, rows = model.get_submodule(name), rows_of(model, name)
        if isinstance(layer, nn.Conv2d):
            rows[1:4] = 0
        else:
            channels = 20 if shape[0] == 1 else 32
            index = torch.arange(len(rows)) % channels  # the order of `FlattenPixels`
            rows[(index < 5) | (index == channels - 1)] = 0


def tied_rows(model, shape):
    for name in model.prunable:
        rows = rows_of(model, name)
        rows[0::3] = rows[0].clone()
        rows[1::3] = rows[1].clone()


def tied_and_zero(model, shape):
    tied_rows(model, shape)
    random_rows(model, shape)


def an_empty_layer(model, shape):
    rows_of(model, model.prunable[0])[:] = 0


def every_layer_empty(model, shape):
    for name in model.prunable:
        rows_of(model, name)[:] = 0


def nothing(model, shape):
    pass


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize(
    "change",
    [
        random_rows,
        whole_channels,
        tied_rows,
        tied_and_zero,
        an_empty_layer,
        every_layer_empty,
        nothing,
    ],
)
def test_compaction_keeps_outputs_and_original_network(architecture, backbone, change):
    model, shape = trained(architecture, backbone)
    change(model, shape)
    network = serving(model, shape)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    compacted = compact(network, shape).model
    assert difference(network, compacted, shape) < 1e-5
    assert difference(network.double(), compacted.double(), shape) < 1e-12
    assert all(
        torch.equal(before[name].double(), value.double())
        for name, value in network.state_dict().items()
    )
    live = model_macs(network, shape, skip_zero_rows=True)
    assert model_macs(compacted, shape) <= live
    if change is nothing:
        assert size(compacted) == size(network)
    else:
        assert size(compacted) < size(network)


@pytest.mark.parametrize("architecture", ["stl", "hps", "mdmtn"])
@pytest.mark.parametrize("change", [random_rows, whole_channels, tied_and_zero])
def test_feature_maps_that_a_segmentation_reads_survive(architecture, change):
    model, shape = trained(architecture, "cm", DENSE)
    change(model, shape)
    network = serving(model, shape)
    compacted = compact(network, shape).model
    assert difference(network.double(), compacted.double(), shape) < 1e-12
    assert size(compacted) < size(network)


def test_unread_channels_leave_producers_and_batch_norms():
    model, shape = trained("hps", "cm")
    whole_channels(model, shape)
    trunk = compact(serving(model, shape), shape).model.model.trunk
    first, norm, second = (
        trunk.body.get_submodule("0"),
        trunk.body.get_submodule("2"),
        trunk.body.get_submodule("4"),
    )
    assert (first.out_channels, norm.num_features, second.in_channels) == (13, 13, 13)
    assert second.out_channels == 32 - 6
    assert trunk.neck.get_submodule("1").in_features == 26 * 36
    assert norm.running_mean.shape == (13,)


def test_ignored_pixels_are_left_out_by_selection():
    model, shape = trained("hps", "mm")
    rows_of(model, "trunk.neck.1")[:100] = 0  # five pixels of all channels: no channel goes
    small = compact(serving(model, shape), shape).model.model.trunk
    reader = small.neck.get_submodule("1")
    assert isinstance(reader, Reader)
    assert reader.layer.in_features == 220
    assert small.body.get_submodule("3").out_channels == 20


def test_tied_rows_are_summed_before_a_smaller_layer():
    model, shape = trained("hps", "mm")
    rows = rows_of(model, "trunk.neck.1")
    rows[:] = rows[torch.arange(320) % 40].clone()
    reader = compact(serving(model, shape), shape).model.model.trunk.neck.get_submodule("1")
    assert reader.layer.in_features == 40
    assert reader.select is None
    assert torch.equal(reader.group, torch.arange(320) % 40)


def test_few_tied_rows_are_not_merged():
    model, shape = trained("hps", "mm")
    rows = rows_of(model, "trunk.neck.1")
    rows[1] = rows[0].clone()
    assert isinstance(
        compact(serving(model, shape), shape).model.model.trunk.neck.get_submodule("1"), nn.Linear
    )


def test_tied_parametrisations_are_compacted_without_changing_the_model():
    model, shape = trained("hps", "cm")
    random_rows(model, shape)
    tie_(model, find_sharing(model, model.prunable, schema.Sharing(preference=0.0), 0))
    network = serving(model, shape)
    keys = list(network.state_dict())
    compacted = compact(network, shape).model
    assert difference(network.double(), compacted.double(), shape) < 1e-12
    assert list(network.state_dict()) == keys
    assert not any("parametrizations" in key for key in compacted.state_dict())


@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        "mobilenet_v2",
        pytest.param("densenet121", marks=pytest.mark.slow),
        pytest.param("vgg11", marks=pytest.mark.slow),
    ],
)
def test_torchvision_networks_are_compacted_where_that_is_exact(name):
    torch.manual_seed(0)
    shape = (3, 32, 32)
    model = settled(
        build_model(schema.HPSConfig(), schema.BackboneTorchvisionConfig(model=name), TASKS, shape)
    )
    random_rows(model, shape)
    network = serving(model, shape)
    small = compact(network, shape)
    assert difference(network.double(), small.model.double(), shape) < 1e-10
    assert size(small.model) < 0.75 * size(network)
    if name == "resnet18":
        block = small.model.get_submodule("model.trunk.network.layer1.0")
        convolution = block.conv1.layer if isinstance(block.conv1, Reader) else block.conv1
        assert convolution.out_channels < 64
        assert block.conv2.in_channels == convolution.out_channels == block.bn1.num_features
        # both ends of a residual sum lose the same channels
        assert block.conv2.out_channels == small.model.model.trunk.network.conv1.out_channels < 64


def test_control_flow_on_values_compacts_each_layer_alone():
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3)

        def forward(self, images):
            x = self.first(images)
            return {"out": self.second(x if x.sum() > 0 else -x)}

    torch.manual_seed(0)
    network = Branching().eval()
    with torch.no_grad():
        network.second.weight[:, :5] = 0
    small = compact(network, (3, 8, 8))
    assert "Python code reads values of tensors (`__bool__`)" in small.notes[0]
    assert small.model.second.layer.in_channels == 3
    assert difference(network.double(), small.model.double(), (3, 8, 8)) < 1e-12


def test_a_layer_used_twice_keeps_its_outputs():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.outer = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 4, 3)

        def forward(self, images):
            return {"out": self.outer(torch.relu(self.inner(torch.relu(self.inner(images)))))}

    network = Twice().eval()
    with torch.no_grad():
        network.outer.weight[:, 0] = 0
        network.inner.weight[:, 2] = 0
    small = compact(network, (3, 8, 8)).model
    assert small.inner.layer.out_channels == 3
    assert small.inner.layer.in_channels == 2
    assert difference(network.double(), small.double(), (3, 8, 8)) < 1e-12


def test_replaced_layer_used_twice_stays_shared():
    """The replacement of a shared layer must fit all its users, not only the last one."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.inner, self.left, self.right = (
                nn.Linear(12, 8),
                nn.Linear(8, 8),
                nn.Linear(8, 2),
                nn.Linear(8, 2),
            )

        def forward(self, images):
            x = torch.relu(self.first(images.flatten(1)))
            return {"left": self.left(self.inner(x)), "right": self.right(self.inner(x + 1))}

    for zero in range(3):
        network = Twice().eval()
        with torch.no_grad():
            network.left.weight[:, :4] = 0
            network.right.weight[:, 2:7] = 0
            network.inner.weight[:, : 3 * zero] = 0
        small = compact(network, (3, 2, 2)).model
        assert difference(network.double(), small.double(), (3, 2, 2)) < 1e-12


@pytest.mark.parametrize("norm", ["shared", "task_affine", "task_statistics"])
def test_branches_with_shared_layers_keep_their_outputs(norm):
    torch.manual_seed(0)
    network = build_model(
        schema.HPSConfig(split=1, norm=norm), schema.BackboneCMConfig(), TASKS, (3, 32, 32)
    ).eval()
    with torch.no_grad():
        for name in network.prunable:
            weight = network.get_submodule(name).weight
            weight[:, torch.randperm(weight.shape[1])[: int(0.8 * weight.shape[1])]] = 0
    small = compact(network, (3, 32, 32)).model
    assert difference(network.double(), small.double(), (3, 32, 32)) < 1e-9


def test_linear_layers_on_sequences_lose_unread_features():
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.outer = nn.Linear(3, 40), nn.Linear(40, 4)

        def forward(self, images):
            return {"out": self.outer(torch.relu(self.inner(images.flatten(2).permute(0, 2, 1))))}

    torch.manual_seed(0)
    network = Tokens().eval()
    with torch.no_grad():
        network.outer.weight[:, 10:] = 0
    small = compact(network, (3, 8, 8))
    assert small.model.outer.in_features == small.model.inner.out_features == 10
    assert small.notes[0].startswith("30 inputs")
    assert difference(network.double(), small.model.double(), (3, 8, 8)) < 1e-12


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    inputs=st.integers(1, 30),
    outputs=st.integers(1, 12),
    distinct=st.integers(1, 6),
    zero=st.floats(0, 1),
    convolution=st.booleans(),
)
def test_smaller_layer_equals_original_on_any_rows(
    seed, inputs, outputs, distinct, zero, convolution
):
    torch.manual_seed(seed)
    layer = (
        nn.Conv2d(inputs, outputs, 3, padding=1, stride=2)
        if convolution
        else nn.Linear(inputs, outputs)
    ).double()
    rows = layer.weight.detach().transpose(0, 1)
    rows[:] = rows[torch.randint(min(distinct, inputs), (inputs,))].clone()
    rows[torch.rand(inputs) < zero] = 0
    x = torch.randn(2, inputs, *((5, 5) if convolution else ()), dtype=torch.float64)
    kept = torch.rand(outputs) < 0.7
    kept[0] = True
    live = live_inputs(layer.weight, kept)
    present = live | (torch.rand(inputs) < 0.5)
    small = smaller(layer, present, live, kept)
    torch.testing.assert_close(small(x[:, present]), layer(x)[:, kept], rtol=1e-12, atol=1e-12)


def test_rows_are_grouped_by_equal_bits_in_order():
    weight = torch.tensor([[2.0, 1.0, 2.0, 0.0, 1.0, -0.0]])
    groups = group_rows(weight)
    assert groups.group.tolist() == [0, 1, 0, 2, 1, 2]
    assert groups.first.tolist() == [0, 1, 3]
