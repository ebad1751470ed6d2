"""Weights that a solver finds: right where gradients are small, far apart in length, or none."""

import json

import pytest
import torch
from small import method_of

from mtsearch.config import schema

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:torchjd")


@pytest.mark.parametrize("lengths", [(1.0, 1.0), (100.0, 1.0), (1.0, 30.0, 0.1)])
def test_nash_mtl_solves_its_equation_at_all_scales_in_any_order(lengths):
    """The same shares ``w_i (G w)_i = 1`` however small the gradients have become, and the cut to
    `max_norm` on the update itself."""
    rows = torch.diag(torch.tensor(lengths, dtype=torch.float64)) @ torch.randn(
        len(lengths), 20, generator=torch.Generator().manual_seed(3), dtype=torch.float64
    )
    whole, cut = (
        method_of(schema.NashMTLConfig(max_norm=0), len(lengths)),
        method_of(schema.NashMTLConfig(max_norm=1), len(lengths)),
    )
    for scale in (1.0, 1e-3, 1e-5, 1e-8, 1e-4, 1e3, 1e-2):
        gramian = scale**2 * rows @ rows.T
        w = whole.weights(gramian, torch.ones(len(rows)))
        assert torch.allclose(w * (gramian @ w), torch.ones_like(w), atol=5e-3), scale
        w = cut.weights(gramian, torch.ones(len(rows)))
        assert (w @ gramian @ w).sqrt().item() == pytest.approx(1.0, rel=1e-3), scale
    again = method_of(schema.NashMTLConfig(max_norm=0), len(lengths))
    again.load_state_dict(json.loads(json.dumps(whole.state_dict())))
    assert torch.equal(
        again.weights(1e-12 * gramian, torch.ones(len(rows))),
        whole.weights(1e-12 * gramian, torch.ones(len(rows))),
    )


@pytest.mark.parametrize("k", [2, 3])
def test_cagrad_keeps_the_mean_gradient_where_a_task_has_none(k):
    rows = torch.randn(k, 20, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    rows[0] = 0
    w = method_of(schema.CAGradConfig(), k).weights(rows @ rows.T, torch.ones(k))
    assert torch.allclose(w @ rows, rows.mean(0))
