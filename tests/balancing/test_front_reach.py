"""Concave parts of a Pareto front: Chebyshev reaches them, a weighted sum does not."""

import itertools

import pytest
import torch

from mtsearch.balancing import build_balancing
from mtsearch.config import schema

SHIFT = 2**-0.5
WEIGHTS = [i / 10 for i in range(1, 10)]


def concave(x):
    """Two objectives with a concave front: the segment from (-SHIFT, -SHIFT) to (SHIFT, SHIFT)."""
    return torch.stack(
        [1 - torch.exp(-(x - SHIFT).square().sum()), 1 - torch.exp(-(x + SHIFT).square().sum())]
    )


def solve(settings, weight, epochs):
    scalariser = build_balancing(settings, torch.tensor([weight, 1 - weight], dtype=torch.float64))
    x = torch.tensor([0.3, -0.2], dtype=torch.float64, requires_grad=True)
    for epoch in range(1, epochs + 1):
        for _ in range(15):
            (slope,) = torch.autograd.grad(scalariser(concave(x)), x)
            with torch.no_grad():
                x -= 0.25 * slope
        scalariser.end_of_epoch(epoch, concave(x).detach())
    return x.detach(), concave(x).detach()


@pytest.fixture(scope="module")
def reached():
    return {
        k: solve(schema.ChebyshevALConfig(mu=10.0, normalise="none"), k, epochs=16) for k in WEIGHTS
    }


def test_nine_preferences_give_nine_interior_points(reached):
    for k, (x, f) in reached.items():
        assert abs(k * f[0] - (1 - k) * f[1]) < 1e-2
        assert (x[0] - x[1]).abs() < 1e-2 and x.abs().max() < SHIFT - 0.1
    firsts = sorted(f[0].item() for _, f in reached.values())
    assert min(b - a for a, b in itertools.pairwise(firsts)) > 0.02
    by_first = sorted((f.tolist() for _, f in reached.values()), key=lambda f: f[0])
    assert all(a[1] > b[1] for a, b in itertools.pairwise(by_first)), "no point dominates another"


@pytest.mark.parametrize(("k", "f"), [(0.5, (0.632, 0.632)), (0.1, (0.938, 0.104))])
def test_reference_optima(reached, k, f):
    assert reached[k][1].tolist() == pytest.approx(f, abs=2e-3)


def test_a_weighted_sum_lands_near_the_ends_only():
    for k in WEIGHTS[::2]:
        x, _ = solve(schema.LinearConfig(), k, epochs=30)
        assert x.mean().abs() > 0.67
