"""The min-norm solver and MGDA (invariant 20): exact for any number of gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import method_of, net_and_batch, step_of, updated
from torchjd.aggregation import MGDAWeighting

from mtsearch.balancing import gramian_factor, min_norm_weights
from mtsearch.config import schema


def rows(k, n, seed, spread=0.0):
    generator = torch.Generator().manual_seed(seed)
    lengths = 10 ** (spread * (2 * torch.rand(k, 1, generator=generator, dtype=torch.float64) - 1))
    return lengths * torch.randn(k, n, generator=generator, dtype=torch.float64)


def holds(jacobian):
    alpha = min_norm_weights(jacobian @ jacobian.T)
    shortest = alpha @ jacobian
    assert (alpha >= 0).all() and alpha.sum().item() == pytest.approx(1.0, abs=1e-9)
    longest = jacobian.norm(dim=1).max().item()
    assert shortest.norm() <= jacobian.norm(dim=1).min() * (1 + 1e-9) + 1e-12
    assert (jacobian @ shortest >= shortest @ shortest - 1e-6 * max(1.0, longest**2)).all()
    return alpha


@given(
    st.integers(1, 11), st.integers(1, 30), st.integers(0, 10_000), st.sampled_from([0.0, 1.0, 3.0])
)
@settings(deadline=None)
def test_min_norm_weights_meet_optimality_conditions(k, n, seed, spread):
    holds(rows(k, n, seed, spread))


def test_two_gradients_have_the_closed_form():
    g = torch.tensor([[1.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    assert min_norm_weights(g @ g.T).tolist() == pytest.approx([0.8, 0.2])
    for seed in range(50):
        jacobian = rows(2, 5, seed, 1.0)
        first, second = jacobian
        alpha = ((second - first) @ second / (second - first).square().sum()).clamp(0, 1)
        assert holds(jacobian)[0].item() == pytest.approx(alpha.item(), abs=1e-9)


def test_opposed_dependent_and_zero_gradients():
    g = torch.tensor([1.0, 2.0, 0.0], dtype=torch.float64)
    for case in (
        [g, -g],
        [g, g],
        [g, 3 * g, -2 * g],
        [g, torch.zeros(3).double(), g],
        [g, g, g, g],
    ):
        holds(torch.stack(case))


@pytest.mark.parametrize("k", [2, 5])
def test_no_frank_wolfe_solution_is_shorter(k):
    for seed in range(5):
        jacobian = rows(k, 10, seed)
        gramian = jacobian @ jacobian.T
        ours, theirs = (
            min_norm_weights(gramian),
            MGDAWeighting(epsilon=1e-9, max_iters=500)(gramian),
        )
        # bounds the difference of the squared length from the minimum
        gap = theirs @ gramian @ theirs - (gramian @ theirs).min()
        difference = theirs @ gramian @ theirs - ours @ gramian @ ours
        assert -1e-9 <= difference <= 2 * gap + 1e-9
        if k == 2:
            assert torch.allclose(ours, theirs, atol=1e-6)


def test_gramian_factor_is_exact_per_row():
    jacobian = rows(6, 20, 1, spread=6.0)
    gramian = jacobian @ jacobian.T
    factor = gramian_factor(gramian)
    lengths = jacobian.norm(dim=1)
    assert ((factor @ factor.T - gramian).abs() / torch.outer(lengths, lengths) < 1e-12).all()


@pytest.mark.parametrize("k", [2, 7])
def test_applied_gradient_is_the_exact_weighted_sum(k):
    net, x, targets = net_and_batch(k)
    method = method_of(schema.MGDAConfig(level="parameter"), k)
    for _ in range(2):
        found = updated(method, net, x, targets)
        step = step_of(net, x, targets, "parameter")
        names = [name for name, _ in net.named_parameters() if not name.startswith("heads")]
        parameters = [dict(net.named_parameters())[name] for name in names]
        gradients = [
            torch.autograd.grad(term, parameters, retain_graph=True, materialize_grads=True)
            for term in step.terms
        ]
        jacobian = torch.stack([torch.cat([g.flatten() for g in row]) for row in gradients])
        alpha = min_norm_weights(jacobian @ jacobian.T)
        applied = torch.cat([found[name].flatten() for name in names])
        assert torch.allclose(applied, alpha @ jacobian, rtol=1e-9, atol=1e-12)


def test_normalised_weights_combine_raw_gradients():
    jacobian = torch.tensor([[3.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    losses = torch.tensor([2.0, 0.5])
    expected = {"none": (0.1, 0.9), "length": (0.5, 0.5)}
    for loss_scaled, lengths in (("loss", True), ("both", False)):
        scaled = jacobian / (
            losses[:, None] * (1 if lengths else jacobian.norm(dim=1, keepdim=True))
        )
        expected[loss_scaled] = tuple(min_norm_weights(scaled @ scaled.T).tolist())
    for normalise, weights in expected.items():
        found = method_of(schema.MGDAConfig(normalise=normalise), 2).weights(
            jacobian @ jacobian.T, losses
        )
        assert found.tolist() == pytest.approx(weights), normalise
