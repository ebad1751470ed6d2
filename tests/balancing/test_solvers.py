"""The weights of the solvers are exact for small, dependent and very differently long gradients."""

import math

import pytest
import torch
from exact import gradients, permuted, projection, shortest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import method_of

from mtsearch.balancing import min_norm_weights
from mtsearch.balancing.dual_cone import dual_cone_weights
from mtsearch.balancing.fair import fair_weights
from mtsearch.config import schema
from mtsearch.config.errors import BadInput

LENGTHS = torch.tensor([0.0028, 0.00039, 0.0013], dtype=torch.float64)
shapes = given(
    st.integers(2, 11),
    st.integers(2, 30),
    st.sampled_from([0.0, 0.5, 1.5, 3.0, 6.0]),
    st.integers(0, 10_000),
)


def missed(gramian, weights, alpha=1.0):
    return float(((gramian @ weights) * weights ** (1 / alpha) - 1).abs().max())


# ---------------------------------------------------------------- Nash-MTL and FairGrad


def test_nash_mtl_orthogonal_weights_are_inverse_lengths():
    gramian = torch.diag(LENGTHS**2)
    found = method_of(schema.NashMTLConfig(max_norm=0), 3).weights(gramian, torch.ones(3))
    assert found.tolist() == pytest.approx([357.142857, 2564.102564, 769.230769], rel=1e-9)


def test_nash_mtl_solves_small_unequal_correlated_gradients():
    cosines = torch.tensor([[1, -0.5, 0.2], [-0.5, 1, 0.1], [0.2, 0.1, 1]], dtype=torch.float64)
    gramian = cosines * torch.outer(LENGTHS, LENGTHS)
    found = method_of(schema.NashMTLConfig(max_norm=0), 3).weights(gramian, torch.ones(3))
    assert missed(gramian, found) < 1e-12
    assert not torch.allclose(found, torch.ones(3, dtype=torch.float64))


@shapes
@settings(deadline=None)
def test_newton_solves_the_bargaining_equation(k, n, spread, seed):
    jacobian = gradients(k, n, spread, seed)
    gramian = jacobian @ jacobian.T
    found = fair_weights(gramian)
    if bool(found.any()):
        # Each equation is a sum of the terms w_i G_ij w_j = 1: their rounding bounds the residual.
        terms = found[:, None] * gramian.abs() * found
        rounding = 8 * k * torch.finfo(torch.float64).eps * float(terms.sum(1).max())
        assert (found > 0).all() and missed(gramian, found) < max(1e-12, rounding)
    else:  # stationary: a convex combination of the unit gradients is 0
        units = jacobian / jacobian.norm(dim=1, keepdim=True)
        assert shortest(units).norm() < 1e-6


@pytest.mark.parametrize("k", [2, 5, 11])
def test_newton_is_permutation_equivariant_and_deterministic(k):
    jacobian = gradients(k, 20, 6.0, 3)
    gramian = jacobian @ jacobian.T
    found = fair_weights(gramian)
    assert torch.equal(found, fair_weights(gramian.clone()))
    other = permuted(fair_weights, gramian, torch.randperm(k))
    assert torch.allclose(other, found, rtol=1e-12)


def test_dependent_gradients_without_conflict_have_a_solution():
    jacobian = gradients(2, 6, 1.0, 1).abs()
    jacobian = torch.cat([jacobian, jacobian[:1], jacobian.sum(0, keepdim=True)])
    gramian = jacobian @ jacobian.T
    assert missed(gramian, fair_weights(gramian)) < 1e-12


def test_stationary_and_zero_gradients_get_documented_weights():
    g = gradients(2, 6, 0.0, 1)
    opposed = torch.stack([g[0], -3 * g[0], g[1]])
    assert fair_weights(opposed @ opposed.T).tolist() == [0, 0, 0]
    idle = torch.stack([g[0], torch.zeros(6).double(), g[1]])
    found = fair_weights(idle @ idle.T)
    assert found[1] == 0 and torch.allclose(found[[0, 2]], fair_weights(g @ g.T))


def test_nash_mtl_cuts_the_update_to_max_norm():
    jacobian = gradients(3, 20, 1.5)
    for scale in (1.0, 1e-8, 1e3):
        gramian = scale**2 * jacobian @ jacobian.T
        found = method_of(schema.NashMTLConfig(max_norm=1), 3).weights(gramian, torch.ones(3))
        assert (found @ gramian @ found).sqrt().item() == pytest.approx(1.0, rel=1e-9)


def test_nash_mtl_reuses_weights_for_every_steps():
    method = method_of(schema.NashMTLConfig(max_norm=0, every=2), 3)
    found = [method.weights(c * torch.eye(3).double(), torch.ones(3))[0].item() for c in (1, 4, 4)]
    assert found == pytest.approx([1.0, 1.0, 0.5])


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_fairgrad_solves_its_equation_at_all_scales(alpha):
    for scale in (1e-8, 1.0, 1e8):
        for spread in (0.0, 0.5, 1.5):
            jacobian = scale * gradients(4, 20, spread, 3)
            gramian = jacobian @ jacobian.T
            method = method_of(schema.FairGradConfig(alpha=alpha), 4)
            assert missed(gramian, method.weights(gramian, torch.ones(4)), alpha) < 1e-9


def test_fairgrad_refuses_what_it_cannot_solve():
    jacobian = gradients(5, 4, 3.0, 0).abs()
    with pytest.raises(BadInput, match=r"`alpha` 10 should find weights .* nearer to 1"):
        fair_weights(jacobian @ jacobian.T, 10.0)


# ---------------------------------------------------------------- UPGrad, DualProj, MGDA, CAGrad


def test_upgrad_conflicts_with_no_task_at_unequal_lengths():
    """TorchJD's regularised projection is up to 34 % off here, and one cosine is -0.10."""
    worst = 0.0
    for seed in range(20):
        jacobian = gradients(5, 6, 0.5, seed, conflict=True)
        found = method_of(schema.UPGradConfig(), 5).weights(jacobian @ jacobian.T, None) @ jacobian
        cosines = jacobian @ found / jacobian.norm(dim=1) / found.norm()
        worst = min(worst, float(cosines.min()))
    assert worst > -1e-8


@pytest.mark.parametrize(("k", "spread"), [(2, 1.5), (3, 0.5), (5, 0.5), (5, 1.5), (7, 1.5)])
def test_projections_are_the_exact_quadratic_program(k, spread):
    """Gradients with lengths of ratio 10 and 1000: independent, dependent and conflicting."""
    generator = torch.Generator().manual_seed(k)
    for n, conflict in ((20, False), (20, True), (max(2, k - 1), False)):
        jacobian = gradients(k, n, spread, k, conflict)
        gramian = jacobian @ jacobian.T
        preference = torch.rand(k, generator=generator, dtype=torch.float64)
        preference /= preference.sum()
        expected = projection(jacobian, preference)
        found = method_of(schema.DualProjConfig(), k, preference).weights(gramian, None) @ jacobian
        assert (found - expected).norm() < 1e-8 * (preference @ jacobian).norm()
        eye = torch.diag(preference)
        expected = torch.stack([projection(jacobian, row) for row in eye]).sum(0)
        found = method_of(schema.UPGradConfig(), k, preference).weights(gramian, None) @ jacobian
        assert (found - expected).norm() < 1e-8 * (preference @ jacobian).norm()


def test_eleven_unequal_gradients_are_projected_exactly():
    jacobian = gradients(11, 9, 1.5, 2, conflict=True)
    weights = torch.full((11,), 1 / 11, dtype=torch.float64)
    found = dual_cone_weights(jacobian @ jacobian.T, weights) @ jacobian
    assert (found - projection(jacobian, weights)).norm() < 1e-8 * (weights @ jacobian).norm()


@shapes
@settings(deadline=None)
def test_a_projection_meets_its_optimality_conditions(k, n, spread, seed):
    jacobian = gradients(k, n, min(spread, 3.0), seed)
    gramian, weights = jacobian @ jacobian.T, torch.full((k,), 1 / k, dtype=torch.float64)
    found = dual_cone_weights(gramian, weights)
    lengths, length = jacobian.norm(dim=1), (weights @ jacobian).norm()
    products = jacobian @ (found @ jacobian) / lengths
    added = (found - weights) * lengths
    assert (added >= -1e-15).all() and (products >= -1e-8 * length).all()
    assert (added * products).abs().sum() <= 1e-8 * length * max(length, added.sum())
    other = permuted(lambda g: dual_cone_weights(g, weights), gramian, torch.randperm(k))
    assert ((other - found) @ jacobian).norm() < 1e-8 * length


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.5])
def test_mgda_is_the_exact_shortest_vector(spread):
    for k, n in ((3, 20), (5, 4), (7, 20)):
        jacobian = gradients(k, n, spread, k)
        found = min_norm_weights(jacobian @ jacobian.T) @ jacobian
        assert (found - shortest(jacobian)).norm() < 1e-8 * jacobian.norm(dim=1).min()


def test_mgda_by_lengths_is_the_mean_of_two():
    jacobian = gradients(2, 9, 1.5)
    method = method_of(schema.MGDAConfig(normalise="length"), 2)
    assert method.weights(jacobian @ jacobian.T, torch.ones(2)).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.5, 3.0])
def test_cagrad_is_optimal_at_all_lengths(spread):
    """Optimality by duality: d = g + kappa g_w is in the ball, and the smallest improvement equals
    the dual value ``<g_w, g> + c |g| |g_w|`` of the convex combination g_w."""
    for k in (2, 3, 6):
        jacobian = gradients(k, 20, spread, k, conflict=True)
        method = method_of(schema.CAGradConfig(radius=0.5), k)
        found = method.weights(jacobian @ jacobian.T, torch.ones(k)) @ jacobian
        mean = jacobian.mean(0)
        assert (found - mean).norm() <= 0.5 * mean.norm() * (1 + 1e-9)
        worst = (jacobian @ found).min()
        added = torch.linalg.lstsq(jacobian.T, found - mean).solution
        combination = added / added.sum() @ jacobian
        bound = combination @ mean + 0.5 * mean.norm() * combination.norm()
        assert worst.item() == pytest.approx(
            bound.item(), rel=1e-6, abs=1e-9 * float(mean.norm()) ** 2
        )


@pytest.mark.parametrize("k", [2, 3])
def test_cagrad_with_an_idle_task_projects_the_mean(k):
    jacobian = gradients(k, 20, 0.0, 3)
    jacobian[0] = 0
    found = method_of(schema.CAGradConfig(), k).weights(jacobian @ jacobian.T, torch.ones(k))
    assert torch.allclose(found @ jacobian, jacobian.mean(0))


# ---------------------------------------------------------------- other weightings


@pytest.mark.parametrize("name", ["imtl_g", "config", "aligned_mtl"])
def test_lengths_that_differ_by_1e7_keep_every_task(name):
    jacobian = gradients(4, 30, 3.5, 1)
    units = torch.nn.functional.normalize(jacobian, dim=1)
    settings = {
        "imtl_g": schema.IMTLGConfig,
        "config": schema.ConFIGConfig,
        "aligned_mtl": schema.AlignedMTLConfig,
    }
    found = method_of(settings[name](), 4).weights(jacobian @ jacobian.T, None)
    update = found @ jacobian
    if name == "aligned_mtl":  # U V^T times the smallest singular value, summed by preference
        left, values, right = torch.linalg.svd(jacobian, full_matrices=False)
        expected = values[-1] * (left @ right).mean(0)
        assert torch.allclose(update, expected, rtol=1e-5, atol=1e-8 * expected.abs().max())
    else:  # equal projections on all unit gradients
        along = units @ update
        assert torch.allclose(along, along.mean().expand(4), rtol=1e-6)


def test_config_of_opposed_gradients_makes_no_update():
    g = gradients(2, 9)
    opposed = torch.stack([g[0], -3 * g[0]])
    assert method_of(schema.ConFIGConfig(), 2).weights(opposed @ opposed.T, None).tolist() == [0, 0]


@pytest.mark.parametrize("k,spread", [(2, 0.0), (6, 1.5)])
def test_sdmgrad_settles_where_its_objective_is_least(k, spread):
    jacobian = gradients(k, 40, spread, 1)
    gramian = jacobian @ jacobian.T
    for lr in (0.3, 10.0):
        method = method_of(schema.SDMGradConfig(lr=lr, iterations=300), k)
        for _ in range(20):
            found = method.weights(gramian, torch.ones(k))
        pulled = jacobian + 0.3 * jacobian.mean(0)
        least = shortest(pulled).square().sum()
        assert (1.3 * found @ jacobian).square().sum() <= least * (1 + 1e-3)


def test_pcd_meets_its_constraints():
    for spread in (0.0, 1.5, 3.0):
        jacobian = gradients(5, 30, spread, 2, conflict=True)
        found = method_of(schema.PCDConfig(tau=0.1), 5).weights(jacobian @ jacobian.T, None)
        update = found @ jacobian
        served = jacobian @ update / jacobian.norm(dim=1)
        assert (served[1:] > 0).all()
        assert update.norm().item() == pytest.approx(jacobian[0].norm().item(), rel=1e-6)


def test_gradvac_reads_cosines_of_short_gradients():
    """Two parallel short gradients beside a long one: their cosine is 1 at any length."""
    rows = torch.eye(3, dtype=torch.float64)[[0, 1, 1]]
    rows = rows * torch.tensor([1.0, 1e-5, 1e-5], dtype=torch.float64)[:, None]
    method = method_of(schema.GradVacConfig(rate=1.0), 3)
    method.weights(rows @ rows.T, torch.ones(3))
    assert method.state_dict()["cosines"][1, 2].item() == pytest.approx(1.0)


@pytest.mark.parametrize(("steps", "age"), [(0, 0), (1, 1), (3, 3), (4, 1)])
def test_nash_mtl_reads_states_of_earlier_versions(steps, age):
    method = method_of(schema.NashMTLConfig(every=3), 2)
    method.load_state_dict({"last": [2.0, 0.5], "length": 1.5, "steps": steps})
    found = method.state_dict()
    assert found["age"] == age
    assert (found["last"] is None) == (steps == 0)
    method.weights(torch.eye(2, dtype=torch.float64), torch.ones(2))
    assert method.state_dict()["age"] == age % 3 + 1


def test_min_norm_of_many_gradients_of_unequal_lengths():
    """These need more iterations than SciPy's default limit."""
    for seed in (2609, 2669, 2689, 2914, 2974):
        generator = torch.Generator().manual_seed(seed)
        k, ratio, dim = 30, [1e3, 1e6, 1e9][seed % 3], [2, 30, 50][seed % 4 % 3]
        lengths = torch.logspace(0, math.log10(ratio), k, dtype=torch.float64)
        lengths = lengths[torch.randperm(k, generator=generator)]
        g = torch.randn(k, dim, generator=generator, dtype=torch.float64) * lengths[:, None]
        update = min_norm_weights(g @ g.T) @ g
        squares = (g * g).sum(1)
        bound = 1e-9 * float(squares.min()) + 1e-14 * float(squares.max())
        assert float(update @ update - (g @ update).min()) < bound


def test_cagrad_without_a_radius_is_the_mean():
    opposed = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
    found = method_of(schema.CAGradConfig(radius=0.4), 2).weigh(opposed, torch.ones(2))
    assert found.tolist() == [0.5, 0.5]
