"""Invariants that the papers of the methods state, for random gradients and losses."""

import math

import pytest
import torch
from exact import gradients, permuted, shortest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import method_of

from mtsearch.balancing import build_balancing
from mtsearch.config import schema
from mtsearch.config.registry import methods

DETERMINISTIC = (
    "mgda",
    "upgrad",
    "dualproj",
    "config",
    "aligned_mtl",
    "imtl_g",
    "cagrad",
    "nash_mtl",
    "fairgrad",
    "sdmgrad",
    "gradnorm",
)
"""Weightings that treat all tasks alike and draw nothing."""
POSITIVE = ("mgda", "nash_mtl", "fairgrad", "sdmgrad", "gradnorm", "upgrad", "dualproj", "cagrad")
NON_CONFLICTING = ("mgda", "upgrad", "dualproj", "nash_mtl", "fairgrad", "config")
"""Methods whose update has a non-negative product with every gradient, where they promise it."""
SCALARISERS = (
    "linear",
    "chebyshev",
    "smooth_chebyshev",
    "pbi",
    "gls",
    "dwa",
    "famo",
    "uncertainty",
)

cases = given(
    st.integers(2, 8), st.integers(9, 24), st.sampled_from([0.0, 0.5, 1.5]), st.integers(0, 9999)
)
few = settings(deadline=None, max_examples=15)


def weights(name, gramian, losses=None):
    method = method_of(methods("balancing")[name](), len(gramian))
    return method.weights(gramian, torch.ones(len(gramian)) if losses is None else losses)


@pytest.mark.parametrize("name", DETERMINISTIC)
@cases
@few
def test_weightings_are_permutation_equivariant(name, k, n, spread, seed):
    jacobian = gradients(k, n, spread, seed)
    gramian = jacobian @ jacobian.T
    order = torch.randperm(k, generator=torch.Generator().manual_seed(seed))
    found = weights(name, gramian) @ jacobian
    other = permuted(lambda g: weights(name, g), gramian, order) @ jacobian
    assert (found - other).norm() <= 1e-7 * found.norm()


@pytest.mark.parametrize("name", POSITIVE)
@cases
@few
def test_weights_are_not_negative(name, k, n, spread, seed):
    jacobian = gradients(k, n, spread, seed)
    assert (weights(name, jacobian @ jacobian.T) >= 0).all()


@pytest.mark.parametrize("name", NON_CONFLICTING)
@cases
@few
def test_updates_conflict_with_no_task(name, k, n, spread, seed):
    jacobian = gradients(k, n, spread, seed)
    update = weights(name, jacobian @ jacobian.T) @ jacobian
    products = jacobian @ update / jacobian.norm(dim=1)
    assert (products >= -1e-8 * update.norm()).all()


@cases
@few
def test_mgda_has_equal_products_on_its_support(k, n, spread, seed):
    jacobian = gradients(k, n, spread, seed)
    found = weights("mgda", jacobian @ jacobian.T)
    update = found @ jacobian
    assert found.sum().item() == pytest.approx(1.0)
    products = (jacobian @ update)[found > 1e-9]
    assert torch.allclose(products, update.square().sum().expand_as(products), rtol=1e-6)
    if k <= 5:
        assert update.norm().item() == pytest.approx(shortest(jacobian).norm().item(), rel=1e-9)


@cases
@few
def test_nash_mtl_does_not_depend_on_units(k, n, spread, seed):
    """Rescaled losses give rescaled weights, so that the update does not change."""
    jacobian = gradients(k, n, 0.0, seed)
    units = torch.logspace(-spread, spread, k, dtype=torch.float64)[:, None]
    first, second = (weights("nash_mtl", j @ j.T) @ j for j in (jacobian, units * jacobian))
    assert torch.allclose(first, second, rtol=1e-7, atol=1e-9)


@cases
@few
def test_imtl_g_projects_equally_on_unit_gradients(k, n, spread, seed):
    jacobian = gradients(k, n, spread, seed)
    found = weights("imtl_g", jacobian @ jacobian.T)
    along = torch.nn.functional.normalize(jacobian, dim=1) @ (found @ jacobian)
    assert torch.allclose(along, along.mean().expand(k), rtol=1e-6)
    assert found.sum().item() == pytest.approx(1.0)


@pytest.mark.parametrize("name", SCALARISERS)
@given(st.lists(st.floats(0.01, 100.0), min_size=2, max_size=6), st.integers(0, 9999))
@few
def test_scalarisers_are_symmetric_with_weights_of_one_sign(name, values, seed):
    """With equal preferences the value does not depend on the order of the tasks, and no loss
    increases; PBI with theta above 0 may increase the losses below its ray."""
    at = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    preference = [1 / len(values)] * len(values)
    order = torch.randperm(len(values), generator=torch.Generator().manual_seed(seed))
    one, other = (build_balancing(name, preference) for _ in range(2))
    value = one(at)
    assert torch.allclose(value, other(at[order]), rtol=1e-9)
    (slope,) = torch.autograd.grad(value, at)
    assert name == "pbi" or (slope >= 0).all()


@given(
    st.lists(st.floats(0.01, 100.0), min_size=2, max_size=6),
    st.floats(1e-3, 1e3),
    st.sampled_from(["linear", "chebyshev", "pbi", "gls"]),
)
@few
def test_scalarisers_of_degree_one_scale_with_the_losses(values, scale, name):
    at = torch.tensor(values, dtype=torch.float64)
    method = build_balancing(name, [1 / len(values)] * len(values))
    assert method(scale * at).item() == pytest.approx(scale * method(at).item(), rel=1e-6)


@given(st.lists(st.floats(0.01, 100.0), min_size=2, max_size=6), st.floats(1e-3, 10.0))
@few
def test_smooth_chebyshev_bounds_the_maximum(values, mu):
    at = torch.tensor(values, dtype=torch.float64)
    preference = [1 / len(values)] * len(values)
    found = build_balancing(schema.SmoothChebyshevConfig(mu=mu), preference)(at).item()
    largest = build_balancing("chebyshev", preference)(at).item()
    slack = 1e-9 * (1 + largest)
    assert largest - slack <= found <= largest + mu * math.log(len(values)) + slack
