"""Scalarisers without a state, and their construction from settings."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mtsearch.balancing import build_balancing, simplex_projection
from mtsearch.config import schema
from mtsearch.config.errors import BadInput
from mtsearch.config.registry import methods

PLAIN = [schema.LinearConfig(), schema.ChebyshevConfig(), schema.SmoothChebyshevConfig(mu=0.05)]
ALL = [*PLAIN, schema.ChebyshevALConfig(), schema.ChebyshevALConfig(mu=0.0, normalise="none")]
K = torch.tensor([0.7, 0.3], dtype=torch.float64)


def losses(*values):
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def gradient(scalariser, at, penalty=0.0):
    (found,) = torch.autograd.grad(scalariser(at, penalty), at)
    return found


def test_linear_is_weighted_sum_plus_constant_penalty():
    scalariser = build_balancing(schema.LinearConfig(), K, coefficient=0.1)
    at = losses(1.0, 2.0)
    assert scalariser(at, 5.0).item() == pytest.approx(0.1 * 5 + 0.63 * 1 + 0.27 * 2)
    assert gradient(scalariser, at, 5.0).tolist() == pytest.approx([0.63, 0.27])


def test_chebyshev_is_the_largest_weighted_gap():
    scalariser = build_balancing(schema.ChebyshevConfig(reference=0.5), K)
    at = losses(1.0, 2.0)
    assert scalariser(at).item() == pytest.approx(0.3 * 1.5)
    assert gradient(scalariser, at).tolist() == pytest.approx([0.0, 0.3])


def test_chebyshev_ignores_tasks_without_weight():
    for settings in (
        schema.ChebyshevConfig(reference=3.0),
        schema.SmoothChebyshevConfig(reference=3.0),
    ):
        scalariser = build_balancing(settings, torch.tensor([1.0, 0.0]))
        at = losses(1.0, 2.0)
        assert scalariser(at).item() == pytest.approx(-2.0)
        assert gradient(scalariser, at).tolist() == pytest.approx([1.0, 0.0])


@given(st.lists(st.floats(0.0, 50.0), min_size=2, max_size=5), st.sampled_from([1e-3, 0.1, 2.0]))
def test_smooth_chebyshev_exceeds_maximum_within_mu_log_k(values, mu):
    preference = torch.full((len(values),), 1 / len(values), dtype=torch.float64)
    at = losses(*values)
    hard = build_balancing(schema.ChebyshevConfig(), preference)(at).item()
    smooth = build_balancing(schema.SmoothChebyshevConfig(mu=mu), preference)(at).item()
    bound = mu * torch.tensor(float(len(values))).log().item()
    assert hard - 1e-9 <= smooth <= hard + bound + 1e-6


@pytest.mark.parametrize("settings", ALL, ids=lambda s: s.name)
def test_the_gradient_is_that_of_the_value(settings):
    at = losses(0.9, 1.7)
    scalariser = build_balancing(settings, K, coefficient=0.05)
    scalariser(at, 3.0)  # the scale of a normalised method is fixed here
    slope = gradient(scalariser, at, 3.0)
    for task in range(2):
        step = torch.zeros(2, dtype=torch.float64)
        step[task] = 1e-6
        difference = (scalariser(at + step, 3.0) - scalariser(at - step, 3.0)) / 2e-6
        assert slope[task].item() == pytest.approx(difference.item(), abs=1e-6)


@pytest.mark.parametrize("settings", ALL, ids=lambda s: s.name)
def test_repeated_passes_give_identical_gradients(settings):
    torch.manual_seed(0)
    net = torch.nn.Linear(4, 2)
    x = torch.randn(8, 4)
    scalariser = build_balancing(settings, K.float())
    found = []
    for _ in range(2):
        net.zero_grad()
        scalariser(net(x).square().mean(0)).backward()
        found.append(net.weight.grad.clone())
    assert torch.equal(*found)


@pytest.mark.parametrize("settings", ALL, ids=lambda s: s.name)
def test_nan_loss_reaches_the_scalar(settings):
    scalariser = build_balancing(settings, K)
    assert torch.isnan(scalariser(losses(float("nan"), 1.0)))


@pytest.mark.parametrize("settings", PLAIN, ids=lambda s: s.name)
def test_methods_without_dual_variable_are_stateless(settings):
    scalariser = build_balancing(settings, K)
    scalariser.end_of_epoch(1, losses(1.0, 2.0))
    assert scalariser.state_dict() == {}
    with pytest.raises(ValueError, match="multipliers"):
        scalariser.load_state_dict({"multipliers": [1.0]})


def test_unusable_weights_coefficients_and_settings_are_refused():
    with pytest.raises(BadInput, match="sum to 1"):
        build_balancing(schema.LinearConfig(), torch.tensor([0.7, 0.7]))
    with pytest.raises(BadInput, match="non-negative"):
        build_balancing(schema.LinearConfig(), torch.tensor([1.5, -0.5]))
    with pytest.raises(BadInput, match="coefficient"):
        build_balancing(schema.LinearConfig(), K, coefficient=1.0)
    with pytest.raises(BadInput, match=r"balancing method\. Found HPSConfig"):
        build_balancing(schema.HPSConfig(), K)


def test_every_balancing_of_the_schema_has_a_method():
    found = methods("balancing")
    assert {"linear", "chebyshev_al", "mgda", "graddrop"} <= set(found) and len(found) >= 28
    for name, settings in found.items():
        assert build_balancing(settings(), [0.5, 0.5]).settings.name == name


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8))
def test_simplex_projection_meets_optimality_conditions(values):
    point = torch.tensor(values, dtype=torch.float64)
    p = simplex_projection(point)
    assert (p >= 0).all() and p.sum().item() == pytest.approx(1.0, abs=1e-6)
    offset = (point - p)[p > 0]  # one common threshold where p > 0, and no entry above it elsewhere
    assert torch.allclose(
        offset, offset[:1].expand_as(offset), atol=1e-6 * max(1.0, point.abs().max().item())
    )
    assert (point[p == 0] <= offset.max() + 1e-9 * point.abs().max()).all()
