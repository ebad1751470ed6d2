"""Steps in which some tasks have no labels are balanced over the others."""

import dataclasses
import json

import pytest
import torch
from small import equal, net_and_batch, step_of, updated

from mtsearch.balancing import ChebyshevAL, Step, build_balancing
from mtsearch.config import schema
from mtsearch.config.errors import BadInput
from mtsearch.config.registry import methods
from mtsearch.config.weightings import GradientMethod
from mtsearch.testing.samples import same

NAMES = [n for n, s in methods("balancing").items() if s.__module__.startswith("mtsearch.")]
GRADIENT = [n for n in NAMES if issubclass(methods("balancing")[n], GradientMethod)]


def settings_of(name):
    extra = {"warmup": 2} if name == "excess_mtl" else {}
    return methods("balancing")[name](**extra)


def partial(net, x, targets, level, present) -> Step:
    """Return a step whose absent tasks have the loss 0, the sum over no labels."""
    step = step_of(net, x, targets, level)
    terms = [t if here else 0 * t for t, here in zip(step.terms, present, strict=True)]
    return dataclasses.replace(step, losses=torch.stack(terms), terms=terms, present=present)


def gradients(method, net, step):
    net.zero_grad(set_to_none=True)
    torch.manual_seed(0)
    method.update(step)
    return {name: p.grad for name, p in net.named_parameters()}


def test_absent_tasks_change_nothing_for_the_others():
    """The update of tasks 0 and 2 of three is that of the method over these two; head 1 has no
    gradient."""
    for name in NAMES:
        net, x, targets = net_and_batch(3)
        method = build_balancing(settings_of(name), equal(3))
        found = gradients(method, net, partial(net, x, targets, method.level, (True, False, True)))
        assert all(found[f"heads.1.{p}"] is None for p in ("weight", "bias"))
        alone = build_balancing(settings_of(name), equal(2))
        step = step_of(net, x, targets, method.level).only([0, 2])
        expected = gradients(alone, net, step)
        factor = 2 / 3 if name == "linear" else 1.0  # constant weights of three tasks
        for path, value in expected.items():
            if value is not None:
                assert torch.allclose(found[path], factor * value, rtol=1e-9, atol=1e-14), (
                    name,
                    path,
                )


def test_one_present_task_has_its_plain_gradient():
    for name in GRADIENT:
        net, x, targets = net_and_batch(3)
        method = build_balancing(settings_of(name), equal(3))
        before = method.state_dict()
        found = gradients(method, net, partial(net, x, targets, method.level, (False, True, False)))
        net.zero_grad(set_to_none=True)
        step_of(net, x, targets, "loss").terms[1].backward()
        for path, p in net.named_parameters():
            if p.grad is not None:
                assert torch.allclose(found[path], p.grad, rtol=1e-9, atol=1e-15), (name, path)
        assert str(before) == str(method.state_dict())


def test_training_with_missing_labels_stays_finite(tmp_path):
    """The present tasks change from step to step, from the first step on; a restored state
    continues bit-identically."""
    for name in NAMES:
        check_training(name, tmp_path / name)


def check_training(name, folder):
    from mtsearch.training.state import load_state, save_state

    masks = [(True, False, True), (True, True, False), (False, False, True), (True, True, True)]
    net, x, targets = net_and_batch(3)
    method = build_balancing(settings_of(name), equal(3))

    def walk(method, net, start):
        for number in range(start, start + 4):
            present = masks[number % 4]
            step = partial(net, x, targets + 0.1 * number, method.level, present)
            found = gradients(method, net, step)
            assert all(g is None or g.isfinite().all() for g in found.values()), name
            shared = torch.cat(
                [p.grad.flatten() for p in net.shared_parameters if p.grad is not None]
            )
            assert shared.norm() > 1e-6, name
            method.after_step(lambda step=step: step.losses.detach() * 0.9)
            with torch.no_grad():
                for p in [*net.parameters(), *method.parameters()]:
                    if p.grad is not None:
                        p -= 0.01 * p.grad
                    p.grad = None

    walk(method, net, 0)
    save_state(folder, {"balancing": method.state_dict()})
    other, _, _ = net_and_batch(3)
    other.load_state_dict(net.state_dict())
    walk(method, net, 4)
    resumed = build_balancing(settings_of(name), equal(3))
    resumed.load_state_dict(load_state(folder)["balancing"])
    walk(resumed, other, 4)
    assert all(same(a, b) for a, b in zip(net.parameters(), other.parameters(), strict=True)), name


@pytest.mark.parametrize("name", ["mgda", "gls", "famo", "pcd", "smooth_chebyshev"])
def test_present_tasks_fall_although_labels_are_rare(name):
    """A task that has labels in every tenth step only does not prevent the other task from training
    the shared part."""
    net, x, targets = net_and_batch(2)
    method = build_balancing(settings_of(name), equal(2))
    first = step_of(net, x, targets, "loss").losses[0].item()
    for number in range(60):
        step = partial(net, x, targets, method.level, (True, number % 10 == 0))
        gradients(method, net, step)
        shared = torch.cat([p.grad.flatten() for p in net.shared_parameters if p.grad is not None])
        assert shared.norm() > 1e-4
        method.after_step(lambda step=step: step.losses.detach())
        with torch.no_grad():
            for p in net.parameters():
                if p.grad is not None:
                    p -= 0.05 * p.grad
    assert step_of(net, x, targets, "loss").losses[0].item() < 0.8 * first


def test_all_present_is_the_ordinary_step():
    net, x, targets = net_and_batch(3)
    for name in NAMES:
        one, other = (build_balancing(settings_of(name), equal(3)) for _ in range(2))
        torch.manual_seed(0)
        expected = updated(one, net, x, targets)
        step = dataclasses.replace(step_of(net, x, targets, one.level), present=(True,) * 3)
        found = gradients(other, net, step)
        assert all(torch.equal(found[path], value) for path, value in expected.items()), name


def test_no_present_task_leaves_no_gradient():
    net, x, targets = net_and_batch(2)
    method = build_balancing("mgda", equal(2))
    found = gradients(method, net, partial(net, x, targets, "feature", (False, False)))
    assert all(g is None for g in found.values())


def test_pcd_without_its_primary_task_takes_the_mean():
    net, x, targets = net_and_batch(3)
    method = build_balancing({"name": "pcd", "primary": 1, "level": "parameter"}, equal(3))
    found = gradients(method, net, partial(net, x, targets, "parameter", (True, False, True)))
    net.zero_grad(set_to_none=True)
    terms = step_of(net, x, targets, "loss").terms
    ((terms[0] + terms[2]) / 2).backward()
    for path, p in net.named_parameters():
        if not path.startswith("heads"):
            assert torch.allclose(found[path], p.grad, rtol=1e-9, atol=1e-15)


def test_chebyshev_al_scales_late_tasks_by_first_loss():
    method = build_balancing(schema.ChebyshevALConfig(epsilon=0.0), equal(2))
    assert isinstance(method, ChebyshevAL)
    at = torch.tensor([4.0, 0.0], dtype=torch.float64, requires_grad=True)
    method.update(Step(at * 1, (0, 1), present=(True, False)))
    assert at.grad.tolist() == [0.25, 0.0]
    method.load_state_dict(json.loads(json.dumps(method.state_dict())))
    assert method.values(torch.tensor([2.0, 8.0])).tolist() == pytest.approx([0.25, 0.5])


def test_a_stateful_plugin_must_name_its_task_state():
    class Counting(type(build_balancing("linear", equal(2))).__mro__[1]):
        def __call__(self, losses, penalty=0.0):
            return losses.sum()

        def state_dict(self):
            return {"seen": 1}

    method = Counting(schema.LinearConfig(), equal(2), 0.0)
    step = Step(torch.ones(2, requires_grad=True) * 1, (0, 1), present=(True, False))
    with pytest.raises(BadInput, match="should say which state belongs to a task"):
        method.update(step)


def test_a_mask_of_another_length_is_refused():
    with pytest.raises(ValueError, match="`present` should contain a value for each of 2 tasks"):
        Step(torch.ones(2), (0, 1), present=(True,))


def test_smoothed_weight_of_absent_task_starts_at_mean():
    net, x, targets = net_and_batch(3)
    targets = 5 * targets
    method = build_balancing({"name": "mgda", "level": "parameter", "smoothing": 0.5}, equal(3))
    absent = partial(net, x, targets, "parameter", (True, False, True))
    gradients(method, net, absent)
    first, middle, last = method.state_dict()["smoothed"].tolist()
    assert middle == pytest.approx((first + last) / 2) and first != last
    gradients(method, net, partial(net, x, targets, "parameter", (True, True, True)))
    before = method.state_dict()["smoothed"].clone()
    gradients(method, net, partial(net, x, targets + 1, "parameter", (True, False, True)))
    after = method.state_dict()["smoothed"]
    assert after[1] == before[1] and after[0] != before[0]


def test_excess_mtl_keeps_mean_of_absent_task_in_warmup():
    net, x, targets = net_and_batch(3)
    method = build_balancing({"name": "excess_mtl", "warmup": 4}, equal(3))
    level = method.level
    gradients(method, net, partial(net, x, targets, level, (True, True, True)))
    before = method.state_dict()["warmup"].clone()
    gradients(method, net, partial(net, x, targets, level, (True, False, True)))
    state = method.state_dict()
    assert state["steps"] == 2
    assert state["warmup"][1].item() / 2 == pytest.approx(before[1].item())


def test_present_tasks_of_weight_zero_change_nothing():
    preference = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    for name in ("smooth_chebyshev", "chebyshev"):
        net, x, targets = net_and_batch(3)
        method = build_balancing(name, preference)
        found = gradients(method, net, partial(net, x, targets, "loss", (False, True, True)))
        assert all(g is None or bool((g == 0).all()) for g in found.values()), name


def test_linear_without_any_label_leaves_no_gradient():
    net, x, targets = net_and_batch(2)
    method = build_balancing("linear", equal(2))
    found = gradients(method, net, partial(net, x, targets, "loss", (False, False)))
    assert all(g is None for g in found.values())
