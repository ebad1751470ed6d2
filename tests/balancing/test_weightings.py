"""Gradient methods against TorchJD at both levels, and properties common to all."""

import copy
import math

import pytest
import torch
from small import equal, losses_of, method_of, net_and_batch, step_of, updated
from torchjd import aggregation as jd
from torchjd.autojac import jac_to_grad, mtl_backward

from mtsearch.balancing import Jacobian, Step, build_balancing
from mtsearch.config import schema
from mtsearch.config.errors import BadInput
from mtsearch.config.registry import implementation_of, methods
from mtsearch.config.weightings import DBMTLConfig, GradientMethod

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:torchjd")


def preference(k):
    weights = torch.arange(1, k + 1, dtype=torch.float64)
    return weights / weights.sum()


THEIRS = {
    "pcgrad": lambda k: jd.PCGrad(),
    "gradvac": lambda k: jd.GradVac(beta=0.5),
    "config": lambda k: jd.ConFIG(preference(k)),
    "aligned_mtl": lambda k: jd.AlignedMTL(preference(k)),
    "imtl_g": lambda k: jd.IMTLG(),
    "fairgrad": lambda k: jd.FairGrad(alpha=1.0),
    "sdmgrad": lambda k: Sdmgrad(k),
    "pcd": lambda k: jd.PCD(eps=0.0),
    "graddrop": lambda k: jd.GradDrop(),
    "excess_mtl": lambda k: jd.ExcessMTL(),
}
OWN = {"mgda", "gradnorm", "db_mtl", "upgrad", "dualproj", "cagrad", "nash_mtl"}
"""Methods that have tests of their own, most of them against an exact solver (`test_solvers`)."""


class Sdmgrad(jd.WeightedAggregator):
    def __init__(self, k):
        super().__init__(
            jd.SDMGradWeighting(lr=0.05, pref_vector=preference(k))
            << (lambda matrix: matrix @ matrix.T)
        )


def gradient_methods():
    return {
        name: settings
        for name, settings in methods("balancing").items()
        if issubclass(settings, GradientMethod)
    }


def levels(name):
    """Yield the method with its default settings, at each level that it supports."""
    settings = gradient_methods()[name]
    for level in ("feature", "parameter"):
        if name == "excess_mtl" and level == "feature":
            continue
        extra = {"memory": 0.0} if name == "db_mtl" and level == "feature" else {}
        yield settings(level=level, **extra)


# settings with which our method and TorchJD's are equal
SAME = {
    "sdmgrad": {"lr": 0.05},
    "excess_mtl": {"lr": 1.0, "warmup": 0},
}


def ours(settings, k):
    return method_of(settings, k, preference(k) if settings.takes_preference else None)


def close(found, expected, tolerance=1e-6):
    scale = max(v.abs().max().item() for v in expected.values())
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert torch.allclose(found[name], value, rtol=tolerance, atol=tolerance * scale), name


def theirs_in_parameters(aggregator, net, x, targets):
    net.zero_grad(set_to_none=True)
    shared = net.share(x)
    mtl_backward(losses_of(net, shared, targets), shared, parallel_chunk_size=1, retain_graph=True)
    jac_to_grad(net.shared_parameters, aggregator)
    return {name: p.grad.clone() for name, p in net.named_parameters()}


def theirs_at_features(aggregator, net, x, targets):
    net.zero_grad(set_to_none=True)
    shared = net.share(x)
    leaves = [f.detach().requires_grad_() for f in shared]
    rows = []
    for loss in losses_of(net, leaves, targets):
        found = torch.autograd.grad(loss, leaves, retain_graph=True, allow_unused=True)
        rows.append(
            torch.cat(
                [
                    torch.zeros(f.numel()).double() if g is None else g.flatten()
                    for g, f in zip(found, leaves, strict=True)
                ]
            )
        )
    vector = aggregator(torch.stack(rows))
    parts = vector.split([f.numel() for f in leaves])
    torch.autograd.backward(shared, [p.view_as(f) for p, f in zip(parts, shared, strict=True)])
    sum(losses_of(net, leaves, targets)).backward()
    return {name: p.grad.clone() for name, p in net.named_parameters()}


@pytest.mark.parametrize("name", THEIRS)
def test_an_update_in_the_parameters_is_torchjds(name):
    k = 5
    net, x, targets = net_and_batch(k)
    method, theirs = (
        ours(gradient_methods()[name](level="parameter", **SAME.get(name, {})), k),
        THEIRS[name](k),
    )
    for seed in range(2):  # twice, since some keep a state
        torch.manual_seed(seed)
        expected = theirs_in_parameters(theirs, net, x, targets + seed)
        torch.manual_seed(seed)
        close(updated(method, net, x, targets + seed), expected)


@pytest.mark.parametrize("name", [name for name in THEIRS if name != "excess_mtl"])
def test_an_update_at_the_features_is_torchjds(name):
    k = 4
    net, x, targets = net_and_batch(k)
    targets = 100 * targets  # TorchJD's constants are absolute
    method, theirs = (
        ours(gradient_methods()[name](**SAME.get(name, {})), k),
        THEIRS[name](k),
    )
    torch.manual_seed(1)
    expected = theirs_at_features(theirs, net, x, targets)
    torch.manual_seed(1)
    close(updated(method, net, x, targets), expected)


def test_smoothing_is_that_of_cr_mogm():
    net, x, targets = net_and_batch(3)
    method = method_of(schema.AlignedMTLConfig(level="parameter", smoothing=0.8), 3)
    theirs = jd.GramianWeightedAggregator(jd.CRMOGMWeighting(jd.AlignedMTLWeighting(), alpha=0.8))
    for shift in range(3):
        expected = theirs_in_parameters(theirs, net, x, targets + shift)
        close(updated(method, net, x, targets + shift), expected)


def test_heads_keep_their_own_unweighted_gradient():
    for name in gradient_methods():
        for settings in levels(name):
            net, x, targets = net_and_batch(3)
            found = updated(ours(settings, 3), net, x, targets)
            net.zero_grad()
            losses = losses_of(net, net.share(x), targets)
            logs = isinstance(settings, DBMTLConfig)
            sum(loss.log() if logs else loss for loss in losses).backward()
            for path, p in net.heads.named_parameters():
                assert torch.allclose(found[f"heads.{path}"], p.grad, rtol=1e-7), (name, path)


@pytest.mark.parametrize("level", ["feature", "parameter"])
def test_gradients_are_added_to_those_there(level):
    """All methods share this code."""
    settings = schema.MGDAConfig(level=level)
    net, x, targets = net_and_batch(2)
    once = updated(ours(settings, 2), net, x, targets)
    net.zero_grad()
    for p in net.parameters():
        p.grad = torch.ones_like(p)
    ours(settings, 2).backward(step_of(net, x, targets, level))
    for name, p in net.named_parameters():
        assert torch.allclose(p.grad, once[name] + 1), name


@pytest.mark.parametrize("level", ["feature", "parameter"])
def test_parameters_shared_behind_the_boundary(level):
    """At level `feature` they get the sum of the gradients; at level `parameter` their gradients
    are balanced."""
    torch.manual_seed(0)
    trunk, behind = torch.nn.Linear(4, 3).double(), torch.nn.Linear(3, 3).double()
    heads = torch.nn.ModuleList(torch.nn.Linear(3, 1) for _ in range(2)).double()
    feature = trunk(torch.randn(5, 4).double())
    read = feature.detach().requires_grad_() if level == "feature" else feature
    terms = [
        head(behind(read).tanh()).square().mean() * (1 + 9 * i) for i, head in enumerate(heads)
    ]
    shared = [*trunk.parameters(), *behind.parameters()]
    separate = [
        torch.autograd.grad(term, list(behind.parameters()), retain_graph=True) for term in terms
    ]
    build_balancing(schema.MGDAConfig(level=level), equal(2)).backward(
        Step(torch.stack(terms), (0, 1), [feature], [read], shared, terms=terms)
    )
    total = sum(rows[0] for rows in separate)
    assert torch.allclose(behind.weight.grad, total) == (level == "feature")


@pytest.mark.parametrize("level", ["feature", "parameter"])
def test_stacked_losses_equal_separate_losses(level):
    """All methods share this code."""
    net, x, targets = net_and_batch(3)
    found = []
    for apart in (True, False):
        net.zero_grad()
        step = step_of(net, x, targets, level)
        if not apart:
            step = Step(step.losses, step.tasks, step.shared, step.read, step.shared_parameters)
        ours(schema.UPGradConfig(level=level), 3).backward(step)
        found.append([p.grad.clone() for p in net.parameters()])
    assert all(torch.allclose(a, b, rtol=1e-9, atol=1e-12) for a, b in zip(*found, strict=True))


def test_a_jacobian_in_parts_is_the_matrix(monkeypatch):
    monkeypatch.setattr("mtsearch.balancing.jacobian.CHUNK", 5)
    jacobian = Jacobian([torch.randn(3, 4, 2), torch.randn(3, 7)])
    matrix, weights = jacobian.matrix(), torch.tensor([0.2, 0.5, -1.0])
    assert torch.allclose(jacobian.gramian(), matrix.double() @ matrix.double().T, rtol=1e-12)
    parts, expected = jacobian.combine(weights), jacobian.split(weights @ matrix)
    assert all(
        torch.allclose(a, b, atol=1e-6) and a.shape == b.shape
        for a, b in zip(parts, expected, strict=True)
    )


# ---------------------------------------------------------------- edges


def test_one_or_eleven_tasks_in_either_precision():
    for name in gradient_methods():
        for settings in levels(name):
            for k in (1, 11):
                for dtype in (torch.float32, torch.float64):
                    net, x, targets = net_and_batch(k, dtype)
                    found = updated(ours(settings, k), net, x, targets)
                    assert all(g.isfinite().all() and g.dtype == dtype for g in found.values()), (
                        name
                    )


SCALE_FREE = [
    name
    for name, settings in gradient_methods().items()
    if getattr(implementation_of(settings()), "scale_free", False)
]


def test_weights_do_not_depend_on_the_common_scale():
    for name in SCALE_FREE:
        jacobian = torch.randn(
            5, 20, generator=torch.Generator().manual_seed(3), dtype=torch.float64
        )
        found = []
        for scale in (1e-8, 1.0, 1e8):
            torch.manual_seed(0)
            method = ours(gradient_methods()[name](), 5)
            found.append(method.weights(scale**2 * jacobian @ jacobian.T, torch.ones(5)))
        assert torch.allclose(found[0], found[1], rtol=1e-5) and torch.allclose(
            found[2], found[1], rtol=1e-5
        )


def test_dependent_and_vanishing_gradients_stay_finite():
    for name in gradient_methods():
        settings = gradient_methods()[name](level="parameter")
        generator = torch.Generator().manual_seed(5)
        rows = torch.randn(2, 6, generator=generator, dtype=torch.float64)
        zero = torch.zeros(6, dtype=torch.float64)
        cases = [
            [rows[0], rows[0], rows[1], rows[0] + rows[1]],
            [rows[0], -rows[0], zero, rows[1]],
            [zero, zero, zero, rows[1]],
            [zero, zero, zero, zero],
            [rows[0], 1e-9 * rows[0], 1e6 * rows[1], -rows[1]],
        ]
        for case in cases:
            method = ours(settings, 4)
            trunk = torch.nn.Parameter(torch.ones(6, dtype=torch.float64))
            for _ in range(2):
                trunk.grad = None
                feature = trunk * 1.0
                read = feature.detach().requires_grad_() if settings.level == "feature" else feature
                terms = [1 + row @ read for row in case]
                method.backward(
                    Step(torch.stack(terms), (0, 1, 2, 3), [feature], [read], [trunk], terms=terms)
                )
                assert trunk.grad.isfinite().all(), name
                if all(row is zero for row in case):
                    assert (trunk.grad == 0).all()


def test_a_nan_loss_reaches_shared_parameters():
    for name in gradient_methods():
        for settings in levels(name):
            net, x, targets = net_and_batch(3)
            targets[1] = math.nan
            found = updated(ours(settings, 3), net, x, targets)
            assert found["trunk.0.weight"].isnan().any(), name


def test_a_preference_changes_the_update():
    for name, settings in gradient_methods().items():
        if settings.takes_preference:
            jacobian = torch.tensor([[1.0, 0.2, 0.0], [-0.3, 1.0, 0.5]], dtype=torch.float64)
            # a weak pull of SDMGrad changes the weights too little
            chosen = settings(pull=5.0) if name == "sdmgrad" else settings()
            found = [
                method_of(chosen, 2, k).weights(jacobian @ jacobian.T, torch.ones(2))
                for k in (equal(2), preference(2))
            ]
            directions = [torch.nn.functional.normalize(w @ jacobian, dim=0) for w in found]
            assert directions[0] @ directions[1] < 0.9999, name


def test_the_primary_task_must_be_one():
    with pytest.raises(BadInput, match=r"0 to 1\. Found 2"):
        method_of(schema.PCDConfig(primary=2), 2)
    jacobian = torch.randn(3, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    swapped = jacobian[[2, 0, 1]]
    last = (
        method_of(schema.PCDConfig(primary=2), 3).weights(jacobian @ jacobian.T, torch.ones(3))
        @ jacobian
    )
    first = method_of(schema.PCDConfig(), 3).weights(swapped @ swapped.T, torch.ones(3)) @ swapped
    assert torch.allclose(last, first)


# ---------------------------------------------------------------- state


def walk(method, net, x, targets, steps, start):
    """Make plain gradient steps, each with other targets; return the parameters of the network."""
    for number in range(start, start + steps):
        torch.manual_seed(number)
        updated(method, net, x, targets + 0.1 * number)
        with torch.no_grad():
            for p in net.parameters():
                p -= 0.01 * p.grad
    return [p.detach().clone() for p in net.parameters()]


def test_smoothed_weights_continue_bit_for_bit(tmp_path):
    """The states of the methods themselves are in the conformance suite."""
    from mtsearch.training.state import load_state, save_state

    settings = schema.UPGradConfig(smoothing=0.9)
    net, x, targets = net_and_batch(3)
    method = ours(settings, 3)
    walk(method, net, x, targets, 3, start=0)
    copied = copy.deepcopy(net)
    save_state(tmp_path / "state", {"balancing": method.state_dict()})
    expected = walk(method, net, x, targets, 3, start=3)
    restored = ours(settings, 3)
    restored.load_state_dict(load_state(tmp_path / "state")["balancing"])
    found = walk(restored, copied, x, targets, 3, start=3)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_states_of_other_tasks_are_refused():
    net, x, targets = net_and_batch(3)
    for settings in (
        schema.GradVacConfig(level="parameter"),
        schema.PCDConfig(),
        schema.SDMGradConfig(),
        schema.NashMTLConfig(),
        schema.GradNormConfig(),
        schema.DBMTLConfig(),
    ):
        method = method_of(settings, 3)
        updated(method, net, x, targets)
        with pytest.raises(ValueError, match=r"should be of 2 tasks\. Found 3"):
            method_of(settings, 2).load_state_dict(method.state_dict())


def test_states_of_other_numbers_of_tasks_are_refused():
    for settings in (schema.FAMOConfig(), schema.ExcessMTLConfig(), schema.ChebyshevALConfig()):
        net, x, targets = net_and_batch(3)
        method = method_of(settings, 3)
        updated(method, net, x, targets)
        with pytest.raises(ValueError, match=r"Found 3"):
            method_of(settings, 2).load_state_dict(method.state_dict())


def test_steps_of_other_numbers_of_tasks_are_refused():
    net, x, targets = net_and_batch(2)
    for settings, level in ((schema.MGDAConfig(), "feature"), (schema.FAMOConfig(), "loss")):
        with pytest.raises(ValueError, match=r"one loss for each of 3 tasks\. Found 2"):
            method_of(settings, 3).backward(step_of(net, x, targets, level))
    with pytest.raises(ValueError, match=r"should contain 3 losses, one per task\. Found 2"):
        method_of(schema.ChebyshevALConfig(), 3).values(torch.ones(2))


def test_frozen_shared_part_leaves_only_head_gradients():
    net, x, targets = net_and_batch(3)
    for parameter in net.shared_parameters:
        parameter.requires_grad_(False)
    found = updated(ours(schema.MGDAConfig(level="feature"), 3), net, x, targets)
    assert set(found) == {f"heads.{i}.{p}" for i in range(3) for p in ("weight", "bias")}


def test_imtl_g_of_opposed_equal_gradients_is_zero():
    gramian = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
    found = ours(schema.IMTLGConfig(), 2).weigh(gramian, torch.ones(2, dtype=torch.float64))
    assert found.tolist() == [0.0, 0.0]


def test_every_gradient_method_has_a_reference():
    """Methods are compared with TorchJD in this file, and with exact solutions or equations of
    papers in others."""
    assert set(gradient_methods()) == set(THEIRS) | OWN
