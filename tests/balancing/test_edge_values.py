"""Values of weightings at their edges: one task, a loss of zero, parts of several objectives."""

import pytest
import torch

from mtsearch.balancing import build_balancing
from mtsearch.balancing.jacobian import Jacobian

T64 = torch.float64


def test_cagrad_lengthens_the_gradient_of_one_task():
    """With one task g_w = g, so that d = g + c |g| g / |g| = (1 + c) g."""
    method = build_balancing({"name": "cagrad", "radius": 0.4}, torch.ones(1, dtype=T64))
    weights = method.weigh(torch.tensor([[9.0]], dtype=T64), torch.ones(1, dtype=T64))
    assert weights.tolist() == pytest.approx([1.4])


def test_dwa_takes_a_zero_loss_as_one():
    method = build_balancing({"name": "dwa", "temperature": 2.0}, [0.5, 0.5])
    method.end_of_epoch(1, torch.tensor([0.0, 1.0], dtype=T64))
    method.end_of_epoch(2, torch.tensor([3.0, 1.0], dtype=T64))
    weights = method.weights(torch.ones(2, dtype=T64))
    ratios = torch.tensor([3.0 / 1.0, 1.0], dtype=T64) / 2.0
    torch.testing.assert_close(weights, 2 * ratios.softmax(0))


def test_chebyshev_al_part_keeps_the_scales_of_its_tasks():
    """With a sparsity coefficient the first objective is the penalty, before the K tasks."""
    weights = torch.tensor([0.2, 0.3, 0.5], dtype=T64)
    method = build_balancing({"name": "chebyshev_al", "mu": 0.1}, weights, 0.1)
    method._scale = torch.tensor([7.0, 1.0, 2.0, 3.0], dtype=T64)
    part = method.part(torch.tensor([0.4, 0.6], dtype=T64), [0, 2])
    assert part._scale.tolist() == [7.0, 1.0, 3.0]


@pytest.mark.parametrize("normalise", ["length", "both"])
def test_normalised_mgda_with_a_zero_gradient(normalise):
    """A gradient of zero is the shortest vector of the hull: it gets all weight."""
    method = build_balancing({"name": "mgda", "normalise": normalise}, [0.5, 0.5])
    gramian = torch.tensor([[0.0, 0.0], [0.0, 4.0]], dtype=T64)
    assert method.weigh(gramian, torch.ones(2, dtype=T64)).tolist() == [1.0, 0.0]


def test_excess_mtl_takes_a_late_task_by_its_first_risk():
    """The risk is sum_j g_j^2 / sqrt(sum of squares + 1e-7); a task without a gradient in the first
    step gets its first risk in the second, so that its relative risk there is 1."""
    method = build_balancing({"name": "excess_mtl", "lr": 1.0, "warmup": 0}, [0.5, 0.5])
    first = torch.tensor([[0.3, 0.4], [0.0, 0.0]], dtype=T64)
    second = torch.tensor([[0.6, 0.8], [2.0, 1.0]], dtype=T64)
    method.aggregate(Jacobian([first]), torch.ones(2, dtype=T64))
    before = method.state_dict()
    method.aggregate(Jacobian([second]), torch.ones(2, dtype=T64))
    state = method.state_dict()
    risk = sum(g**2 / (g**2 + 1e-7) ** 0.5 for g in (2.0, 1.0))
    own = sum(g**2 / (g**2 + 1e-7) ** 0.5 for g in (0.3, 0.4))
    assert state["first"].tolist() == pytest.approx([own, risk])
    later = sum(g**2 / (5 * g**2 / 4 + 1e-7) ** 0.5 for g in (0.6, 0.8))
    weights = before["weights"] * torch.tensor([later / own, 1.0], dtype=T64).exp()
    torch.testing.assert_close(state["weights"], weights / weights.sum())


def test_chebyshev_al_with_a_zero_penalty_has_no_dual_update():
    """With mu = 0 the multipliers stay as they are, so that no losses are measured for them."""
    fixed = build_balancing({"name": "chebyshev_al", "mu": 0.0, "period": 2}, [0.5, 0.5])
    moving = build_balancing({"name": "chebyshev_al", "mu": 0.1, "period": 2}, [0.5, 0.5])
    assert [fixed.due(epoch) for epoch in (1, 2)] == [False, False]
    assert [moving.due(epoch) for epoch in (1, 2)] == [False, True]


def test_chebyshev_al_scales_of_a_state_are_kept():
    """The first values set the scales; after a state is loaded the next values do not."""
    method = build_balancing(
        {"name": "chebyshev_al", "mu": 0.1}, torch.tensor([0.5, 0.5], dtype=T64)
    )
    method.values(torch.tensor([2.0, 4.0], dtype=T64))
    other = build_balancing(
        {"name": "chebyshev_al", "mu": 0.1}, torch.tensor([0.5, 0.5], dtype=T64)
    )
    other.load_state_dict(method.state_dict())
    later = torch.tensor([1.0, 1.0], dtype=T64)
    torch.testing.assert_close(other.values(later), method.values(later))
    assert other.state_dict()["scale"] == [2.0, 4.0]
