"""The augmented Lagrangian in closed form, with the values of its specification."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mtsearch.balancing import best_bound, build_balancing, projected_multipliers
from mtsearch.config import schema

THIRDS = torch.full((3,), 1 / 3, dtype=torch.float64)
ONE_HOT = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
# with k0 = 0.01 this gives k = (0.01, 0.8, 0.19)
SPEC_K = torch.tensor([0.8, 0.19], dtype=torch.float64) / 0.99
SPEC_F = torch.tensor([1.0, 2.0], dtype=torch.float64)


def plain(**settings):
    return schema.ChebyshevALConfig(normalise="none", **settings)


def equality_weights(multipliers, values, t, mu):
    """The faulty original: the augmented Lagrangian of u - t = 0, whose gradient weights are lambda
    + mu (u - t)."""
    return multipliers + mu * (values - t)


def test_values_have_the_augmentation_inside_the_bracket():
    assert build_balancing(plain(epsilon=1e-4), SPEC_K, 0.01).values(
        SPEC_F, 100.0
    ).tolist() == pytest.approx([1.000103, 0.80824, 0.381957], abs=1e-6)
    assert build_balancing(plain(epsilon=0.0), SPEC_K, 0.01).values(
        SPEC_F, 100.0
    ).tolist() == pytest.approx([1.0, 0.8, 0.38])


@pytest.mark.parametrize(
    ("mu", "p", "t"),
    [
        (1.0, (1.0, 0.0, 0.0), 1 / 3),
        (0.3, (0.533333, 0.233333, 0.233333), 1 / 3),
        (1e9, (1.0, 0.0, 0.0), 1.0),
    ],
)
def test_dual_weights_and_best_bound(mu, p, t):
    assert projected_multipliers(THIRDS, ONE_HOT, mu).tolist() == pytest.approx(p, abs=1e-6)
    assert best_bound(THIRDS, ONE_HOT, mu).item() == pytest.approx(t, abs=1e-6)


def test_without_penalty_the_multipliers_are_the_weights():
    assert torch.allclose(projected_multipliers(THIRDS, ONE_HOT, 0.0), THIRDS, atol=1e-15)


simplex = st.lists(st.floats(0.01, 1.0), min_size=3, max_size=3).map(
    lambda v: torch.tensor(v, dtype=torch.float64) / sum(v)
)
values = st.lists(st.floats(0.0, 10.0), min_size=3, max_size=3).map(
    lambda v: torch.tensor(v, dtype=torch.float64)
)


@given(simplex, values, st.sampled_from([0.01, 0.3, 1.0, 30.0, 1e4]))
def test_the_level_solves_the_inner_minimisation(multipliers, u, mu):
    p, t = projected_multipliers(multipliers, u, mu), best_bound(multipliers, u, mu)
    assert p.sum().item() == pytest.approx(1.0, abs=1e-6) and (p >= 0).all()
    assert (multipliers + mu * (u - t)).clamp_min(0).sum().item() == pytest.approx(1.0, abs=1e-6)


@given(simplex, values, st.integers(0, 2), st.floats(0.0, 5.0))
def test_bound_is_monotone_in_the_values(multipliers, u, which, rise):
    higher = u.clone()
    higher[which] += rise
    assert best_bound(multipliers, higher, 2.0) >= best_bound(multipliers, u, 2.0) - 1e-9


@given(simplex, values)
def test_scalar_is_lagrangian_at_best_bound(multipliers, u):
    mu = 0.7
    scalariser = build_balancing(plain(epsilon=0.0, mu=mu), THIRDS)
    scalariser.load_state_dict({"multipliers": multipliers.tolist(), "mu": mu, "scale": [1.0] * 3})

    def lagrangian(t):
        return t + (
            (multipliers + mu * (u - t)).clamp_min(0).square() - multipliers.square()
        ).sum() / (2 * mu)

    found, best = scalariser(3 * u), best_bound(multipliers, u, mu)
    assert found.item() == pytest.approx(lagrangian(best).item(), abs=1e-6)
    assert lagrangian(best) <= min(lagrangian(best - 0.01), lagrangian(best + 0.01))


def test_mu_zero_gives_augmented_weighted_sum():
    epsilon, k0 = 0.01, 0.1
    scalariser = build_balancing(
        plain(mu=0.0, epsilon=epsilon), torch.tensor([0.6, 0.4], dtype=torch.float64), k0
    )
    x = torch.tensor([0.3, -1.2], dtype=torch.float64, requires_grad=True)
    f = torch.stack([(x - 1).square().sum(), (x + 2).square().sum()])
    (found,) = torch.autograd.grad(scalariser(f, 5.0), x, retain_graph=True)
    slopes = [torch.autograd.grad(one, x, retain_graph=True)[0] for one in f]
    both = slopes[0] + slopes[1]
    k = [0.9 * 0.6, 0.9 * 0.4]
    wanted = (k[0] * (slopes[0] + epsilon * both) + k[1] * (slopes[1] + epsilon * both)) / 2
    assert torch.allclose(found, wanted, rtol=1e-6)


def test_sparsity_objective_takes_no_task_weight():
    scalariser = build_balancing(
        plain(mu=1.0, epsilon=0.0), torch.tensor([0.6, 0.4], dtype=torch.float64), 0.1
    )
    f = torch.tensor([0.04, 0.04], dtype=torch.float64, requires_grad=True)
    for epoch in range(1, 30):
        scalariser.end_of_epoch(epoch, f.detach(), penalty=100.0)
    (slope,) = torch.autograd.grad(scalariser(f, penalty=100.0), f)
    assert scalariser.multipliers.sum().item() == pytest.approx(1)
    assert (slope / torch.tensor([0.54, 0.36])).sum().item() == pytest.approx(1)


def test_zero_weight_objective_counts_in_augmentation_only():
    scalariser = build_balancing(plain(epsilon=0.5), torch.tensor([1.0, 0.0], dtype=torch.float64))
    assert scalariser.values(SPEC_F).tolist() == pytest.approx([1 + 0.5 * 3])
    assert scalariser.multipliers.tolist() == [1.0]


def test_objectives_are_scaled_by_their_first_gap():
    scalariser = build_balancing(
        schema.ChebyshevALConfig(epsilon=0.0, reference=0.5),
        torch.tensor([0.5, 0.5], dtype=torch.float64),
    )
    assert scalariser.values(torch.tensor([1.5, 100.5])).tolist() == pytest.approx([0.5, 0.5])
    assert scalariser.values(torch.tensor([1.0, 100.5])).tolist() == pytest.approx([0.25, 0.5])


def test_objective_at_its_reference_is_not_scaled():
    scalariser = build_balancing(
        schema.ChebyshevALConfig(epsilon=0.0),
        torch.tensor([0.5, 0.5], dtype=torch.float64),
        coefficient=0.5,
    )
    scalariser(torch.tensor([2.0, 2.0]), penalty=0.0)
    assert scalariser.values(torch.tensor([2.0, 2.0]), penalty=0.4).tolist() == pytest.approx(
        [0.2, 0.25, 0.25]
    )


def test_slack_objectives_get_no_negative_weight():
    u = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    assert (equality_weights(THIRDS, u, t=1 / 3, mu=10.0) < 0).any()
    assert (projected_multipliers(THIRDS, u, 10.0) >= 0).all()


def test_dual_update_follows_period_and_raises_mu():
    scalariser = build_balancing(
        plain(epsilon=0.0, mu=0.2, rho=2.0, period=2), torch.tensor([0.5, 0.5], dtype=torch.float64)
    )
    at = torch.tensor([2.0, 1.0])
    assert [scalariser.due(epoch) for epoch in (1, 2, 3, 4)] == [False, True, False, True]
    scalariser.end_of_epoch(1, at)
    assert scalariser.multipliers.tolist() == [0.5, 0.5]
    scalariser.end_of_epoch(2, at)
    assert scalariser.multipliers.tolist() == pytest.approx([0.55, 0.45])
    assert scalariser.state_dict()["mu"] == pytest.approx(0.4)


def test_the_state_survives_json_and_continues_bit_identically():
    preference = torch.tensor([0.3, 0.7])
    settings = schema.ChebyshevALConfig(mu=0.9, rho=1.5)
    one, other = (build_balancing(settings, preference, 0.02) for _ in range(2))
    one(torch.tensor([2.3, 2.2]), 41.0)
    one.end_of_epoch(1, torch.tensor([1.7, 0.3]), 37.0)
    other.load_state_dict(json.loads(json.dumps(one.state_dict())))
    at = torch.tensor([1.1, 0.2])
    for scalariser in (one, other):
        scalariser.end_of_epoch(2, at, 30.0)
    assert torch.equal(one(at, 30.0), other(at, 30.0)) and one.state_dict() == other.state_dict()
    with pytest.raises(ValueError, match="multipliers"):
        build_balancing(settings, torch.tensor([0.3, 0.3, 0.4])).load_state_dict(one.state_dict())


def test_at_convergence_slack_and_weight_are_complementary():
    centres = torch.tensor([[1.0, 0.0], [-1.0, 0.5], [0.1, 0.2]], dtype=torch.float64)
    preference = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    scalariser = build_balancing(plain(mu=5.0), preference)
    x = torch.zeros(2, dtype=torch.float64, requires_grad=True)

    def f():
        return (x - centres).square().sum(1)

    for epoch in range(1, 41):
        for _ in range(15):
            (slope,) = torch.autograd.grad(scalariser(f()), x)
            with torch.no_grad():
                x -= 0.15 * slope
        scalariser.end_of_epoch(epoch, f().detach())
    u, t, p = (
        scalariser.values(f().detach()),
        scalariser.bound(f().detach()),
        scalariser.multipliers,
    )
    assert (u <= t + 1e-4).all()
    assert (p * (u - t)).abs().max() < 1e-4
    assert p[2] < 1e-6  # the loss of the third task is small, so that its constraint is slack
