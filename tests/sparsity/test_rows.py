"""Rows of weights: shapes, norms, zero rows."""

import pytest
import torch
from growl_reference import sum_zero_rows, view_rows
from torch import nn

from mtsearch.sparsity import prunable_layers, row_matrix, row_norms, zero_rows
from mtsearch.sparsity.rows import scale_rows_


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_convolution_row_is_input_channel_in_any_format(memory_format):
    conv = nn.Conv2d(10, 20, 5).to(memory_format=memory_format)
    before = conv.weight.detach().clone()
    wanted = torch.stack([before[:, i].reshape(-1) for i in range(10)])
    assert torch.equal(row_matrix(conv.weight), wanted)
    assert torch.allclose(row_norms(conv.weight), wanted.norm(dim=1))
    scale = torch.ones(10)
    scale[2] = 0
    scale_rows_(conv.weight, scale)
    assert (conv.weight[:, 2] == 0).all() and torch.equal(
        conv.weight[:, [0, 1, *range(3, 10)]], before[:, [0, 1, *range(3, 10)]]
    )
    assert zero_rows(conv.weight).nonzero().flatten().tolist() == [2]


def test_faulty_original_view_has_output_filters():
    weight = torch.ones(20, 10, 5, 5)
    view_rows(weight)[2] = 0
    assert (weight[4:6] == 0).all() and not (weight == 0).all(0).any()


def test_a_linear_row_is_an_input_feature():
    weight = torch.tensor([[3.0, 0.0, 1.0], [4.0, 0.0, 0.0]])
    assert row_norms(weight).tolist() == [5.0, 0.0, 1.0]
    assert zero_rows(weight).tolist() == [False, True, False]


def test_entries_that_cancel_are_no_zero_row():
    weight = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert sum_zero_rows(weight).tolist() == [True, True]
    assert zero_rows(weight).tolist() == [False, True]


def test_modules_without_rows_are_refused():
    model = nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, groups=2))
    for name in ("0", "1"):
        with pytest.raises(ValueError, match=f"`{name}` should be a Linear or an ungrouped Conv2d"):
            prunable_layers(model, [name])


def test_unknown_layer_is_refused_with_nearest_name():
    network = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))
    with pytest.raises(
        ValueError, match=r"`4` is not a layer of the network\. Known here: `0`, `2`"
    ):
        prunable_layers(network, ["4"])
    with pytest.raises(ValueError, match="`1` should be a Linear"):
        prunable_layers(network, ["1"])
