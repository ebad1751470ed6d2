"""Measures by rows and by parameters."""

import pytest
import torch
from nets import study
from torch import nn

from mtsearch.sparsity import Structure, measures, row_totals, tie_


def example():
    """One layer of 8 rows: 3 zero, two identical pairs, one single."""
    linear = nn.Linear(8, 3, bias=False)
    with torch.no_grad():
        linear.weight[:, :3] = 0
        linear.weight[:, 4] = linear.weight[:, 3]
        linear.weight[:, 6] = linear.weight[:, 5]
    return linear


@pytest.mark.parametrize(
    ("name", "rows"), [("MM-HPS", 431), ("MM-MDMTN", 6193), ("CM-HPS", 1235), ("CM-MDMTN", 15641)]
)
def test_row_totals_and_a_dense_random_network(name, rows):
    net = study(name)
    assert sum(row_totals(net).values()) == rows
    found = measures(net)
    assert (
        found["model/sparsity_rate"] == 0
        and found["model/compression_rate"] == 1
        and found["model/parameter_sharing"] == 1
    )
    assert found["model/params"] == sum(p.numel() for p in net.parameters())


def test_the_worked_example():
    found = measures(example())
    assert found["model/sparsity_rate"] == pytest.approx(37.5)
    assert found["model/compression_rate"] == pytest.approx(2.0)
    assert found["model/parameter_sharing"] == pytest.approx(1.25)
    assert found["model/params"] == 24 and found["model/density"] == pytest.approx(15 / 24)


def test_sharing_is_compression_times_the_live_share():
    net = study("MM-HPS")
    torch.manual_seed(1)
    with torch.no_grad():
        fc = net.get_submodule(net.prunable[1])
        fc.weight[:, torch.randperm(320)[:100]] = 0
        fc.weight[:, 7] = fc.weight[:, 9]
    found = measures(net)
    assert found["model/parameter_sharing"] == pytest.approx(
        found["model/compression_rate"] * (1 - found["model/sparsity_rate"] / 100)
    )


def test_second_zero_row_is_not_distinct():
    linear = example()
    wider = nn.Linear(9, 3, bias=False)
    with torch.no_grad():
        wider.weight.copy_(torch.cat([linear.weight, torch.zeros(3, 1)], 1))
    assert (
        8 / measures(linear)["model/compression_rate"]
        == 9 / measures(wider)["model/compression_rate"]
    )


def test_a_negative_zero_is_a_zero():
    linear = example()
    with torch.no_grad():
        linear.weight[:, 1] *= -1
    assert measures(linear) == measures(example())


def test_tied_weights_count_with_all_their_members():
    linear = example()
    holder = nn.Sequential(linear)
    before = measures(holder)
    tie_(holder, Structure({"0": torch.tensor([-1, -1, -1, 0, 0, 1, 1, 2])}))
    assert linear.parametrizations.weight.original.numel() == 9
    assert measures(holder) == before


def test_convolutions_count_their_input_channels():
    assert row_totals(
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.ConvTranspose2d(8, 2, 3), nn.BatchNorm2d(2))
    ) == {"0": 3, "1": 8}


def test_a_model_without_weights_is_refused():
    with pytest.raises(ValueError, match="ReLU without any"):
        measures(nn.ReLU())


def test_nonzero_and_trainable_parameters():
    linear = example()
    linear.weight.requires_grad_(False)
    net = nn.Sequential(linear, nn.Linear(3, 2))
    found = measures(net)
    assert found["model/nonzero"] == 15 + 8 and found["model/trainable"] == 8
