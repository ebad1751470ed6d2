"""The cosine penalty: its gradient, also in steps without some of the tasks."""

import pytest
import torch

from mtsearch.balancing import CosinePenalty, Step, build_balancing

PREFERENCE = torch.tensor([0.2, 0.5, 0.3])


def gradient(method, tasks=(0, 1, 2), present=None):
    x = torch.tensor([0.7, 1.1, 0.4], requires_grad=True)
    terms = [(x[k] ** 2 + 0.1) for k in tasks]
    method.update(Step(torch.stack(terms), tasks, terms=terms, present=present))
    return x.grad


@pytest.mark.parametrize("name", ["linear", "chebyshev", "smooth_chebyshev"])
def test_gradient_is_that_of_the_sum(name):
    inner = build_balancing(name, PREFERENCE)
    found = gradient(CosinePenalty(inner, PREFERENCE, 0.5))
    x = torch.tensor([0.7, 1.1, 0.4], requires_grad=True)
    losses = x**2 + 0.1
    cosine = (PREFERENCE @ losses) / (PREFERENCE.norm() * losses.norm())
    (-0.5 * cosine).backward()
    expected = gradient(build_balancing(name, PREFERENCE)) + x.grad
    torch.testing.assert_close(found, expected)


def test_absent_tasks_have_no_part_in_the_angle():
    penalty = CosinePenalty(build_balancing("linear", PREFERENCE), PREFERENCE, 0.5)
    found = gradient(penalty, present=(True, False, True))
    x = torch.tensor([0.7, 1.1, 0.4], requires_grad=True)
    losses = (x**2 + 0.1)[[0, 2]]
    part = PREFERENCE[[0, 2]]
    (-0.5 * (part @ losses) / (part.norm() * losses.norm())).backward()
    plain = build_balancing("linear", PREFERENCE)
    expected = gradient(plain, present=(True, False, True)) + x.grad
    torch.testing.assert_close(found, expected)


def test_vertex_of_an_absent_task_has_no_penalty():
    vertex = torch.tensor([0.0, 1.0, 0.0])
    penalty = CosinePenalty(build_balancing("linear", vertex), vertex, 0.5)
    assert not gradient(penalty, present=(True, False, True)).any()
