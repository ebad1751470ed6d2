"""Conformance suite for balancing methods."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mtsearch.balancing import Balancing, Step, build_balancing
from mtsearch.config.balancing import takes_preference
from mtsearch.config.base import Model
from mtsearch.config.errors import BadInput
from mtsearch.testing.samples import same, seeded
from mtsearch.training.state import load_state, save_state

IMAGES, WIDTH = 16, 6


class Problem(nn.Module):
    """K small regressions with a shared layer: ``loss_i = scales_i * mean((heads_i(tanh(trunk x)) -
    targets_i)^2)``.

    Args:
        scales: (K,) factors of the losses.
        kind: ``random`` gives each task random targets; ``agreeing`` gives equal tasks; ``opposed``
            gives equal targets, and the second head is the negative of the first.
    """

    def __init__(self, scales: Sequence[float], kind: str = "random") -> None:
        super().__init__()
        with seeded(7):
            self.trunk = nn.Linear(5, WIDTH)
            self.heads = nn.ModuleList(nn.Linear(WIDTH, 2) for _ in scales)
            self.x = torch.randn(IMAGES, 5)
            self.targets = [torch.randn(IMAGES, 2) for _ in scales]
        if kind != "random":
            for head in self.heads:
                head.load_state_dict(self.heads[0].state_dict())
            self.targets = [self.targets[0]] * len(scales)
        if kind == "opposed":
            with torch.no_grad():
                self.heads[1].weight.neg_()  # type: ignore[operator, union-attr]
                self.heads[1].bias.neg_()  # type: ignore[operator, union-attr]
        self.scales = scales

    def losses(self, read: Tensor, tasks: Sequence[int]) -> list[Tensor]:
        """Return the losses of `tasks` for the shared features `read` (IMAGES, WIDTH)."""
        return [
            self.scales[k] * (self.heads[k](read) - self.targets[k]).square().mean() for k in tasks
        ]

    def step(self, method: Balancing, tasks: Sequence[int] | None = None) -> Step:
        """Return the `Step` of these tasks (None for all), as a trial builds it."""
        chosen = tuple(range(len(self.heads))) if tasks is None else tuple(tasks)
        shared = torch.tanh(self.trunk(self.x))
        read = shared.detach().requires_grad_() if method.level == "feature" else shared
        losses = torch.stack(self.losses(read, chosen))
        return Step(losses, chosen, [shared], [read], list(self.trunk.parameters()))

    def fit(self, method: Balancing, epochs: int, start: int = 0, lr: float = 0.01) -> None:
        """Train for `epochs` epochs of two steps, with the same calls as a trial."""
        parameters = [*self.parameters(), *method.parameters()]
        for epoch in range(start + 1, start + epochs + 1):
            for _ in range(2):
                for parameter in parameters:
                    parameter.grad = None
                method.backward(self.step(method))
                with torch.no_grad():
                    for parameter in parameters:
                        if parameter.grad is not None:
                            parameter.sub_(lr * parameter.grad)
                method.after_step(self._losses_now)
            if method.due(epoch):
                method.end_of_epoch(epoch, self._losses_now())

    @torch.no_grad()
    def _losses_now(self) -> Tensor:
        return torch.stack(self.losses(torch.tanh(self.trunk(self.x)), range(len(self.heads))))


class BalancingConformance:
    """Tests of a balancing method. Set `settings`.

    Attributes:
        settings: the settings model of the method.
        scales: test cases of factors by which the losses of the three tasks are multiplied.
    """

    settings: Model
    scales: Sequence[tuple[float, float, float]] = (
        (1, 1, 1),
        (1e-8, 1e-8, 1e-8),
        (1e8, 1e8, 1e8),
        (1e-4, 1, 1e4),
        (1e-8, 1, 1e8),
    )

    def method(self, tasks: int = 3, preference: Sequence[float] | None = None) -> Balancing:
        """Return the method for `tasks` tasks, with equal weights if no preference is given."""
        return build_balancing(self.settings, torch.tensor(preference or [1 / tasks] * tasks))

    def gradients(
        self, problem: Problem, method: Balancing, tasks: Sequence[int] | None = None, seed: int = 0
    ) -> dict[str, Tensor | None]:
        """Return the gradients of the problem's parameters after one backward pass."""
        problem.zero_grad(set_to_none=True)
        with seeded(seed):
            method.backward(problem.step(method, tasks))
        return {name: parameter.grad for name, parameter in problem.named_parameters()}

    def test_every_parameter_gets_a_finite_gradient(self) -> None:
        for kind in ("random", "agreeing", "opposed"):
            for scales in self.scales:
                found = self.gradients(Problem(scales, kind), self.method())
                for name, gradient in found.items():
                    assert gradient is not None, (
                        f"`{name}` gets no gradient with {kind} tasks of scales {scales}"
                    )
                    assert bool(torch.isfinite(gradient).all()), (
                        f"`{name}` gets {gradient} with {kind} tasks of scales {scales}"
                    )

    def test_equal_tasks_give_their_common_gradient(self) -> None:
        """Equal tasks have equal gradients, and the update of the shared parameters is a positive
        multiple of them."""
        problem = Problem((1, 1, 1), "agreeing")
        found = self.gradients(problem, self.method())
        update = torch.cat([found[f"trunk.{name}"].flatten() for name in ("weight", "bias")])  # type: ignore[union-attr]
        problem.zero_grad(set_to_none=True)
        problem.losses(torch.tanh(problem.trunk(problem.x)), [0])[0].backward()  # type: ignore[no-untyped-call]
        plain = torch.cat(
            [p.grad.flatten() for p in problem.trunk.parameters() if p.grad is not None]
        )
        cosine = float(torch.nn.functional.cosine_similarity(update, plain, dim=0))
        assert cosine > 0.999, (
            f"the cosine of update and gradient should be 1 for equal tasks. Found {cosine:.4f}"
        )

    def test_updates_are_seeded(self) -> None:
        first, second = (
            self.gradients(Problem((1, 2, 3)), self.method(), seed=11) for _ in range(2)
        )
        for name, gradient in first.items():
            other = second[name]
            assert gradient is not None and other is not None and same(gradient, other), (
                f"`{name}` has different gradients with the same seed"
            )

    def test_restored_state_continues_bit_identically(self, tmp_path: Path) -> None:
        """The state is saved to files after some epochs and loaded into a new method."""
        whole, halved = Problem((1, 2, 3)), Problem((1, 2, 3))
        method = self.method()
        with seeded():
            whole.fit(method, 2)
            halved.load_state_dict(whole.state_dict())
            save_state(tmp_path / "state", {"balancing": method.state_dict()})
            generator = torch.get_rng_state()
            whole.fit(method, 3, start=2)
        with seeded():
            resumed = self.method()
            resumed.load_state_dict(load_state(tmp_path / "state")["balancing"])
            torch.set_rng_state(generator)
            halved.fit(resumed, 3, start=2)
        for (name, one), two in zip(whole.named_parameters(), halved.parameters(), strict=True):
            assert same(one, two), f"`{name}` differs after the state was loaded"

    def test_state_of_another_method_is_refused(self) -> None:
        method = self.method()
        state = method.state_dict()
        foreign = [{**state, "nothing_of_it": 1.0}]
        other = self.method(tasks=2)
        Problem((1, 2)).fit(other, 1)
        if _sizes(other.state_dict()) != _sizes(self.after_an_epoch().state_dict()):
            foreign.append(other.state_dict())  # the state depends on the number of tasks
        for wrong in foreign:
            try:
                self.method().load_state_dict(wrong)
            except ValueError:
                continue
            raise AssertionError(
                f"a state that is not of {type(method).__name__} with three tasks should raise"
                f" ValueError. Found {wrong}"
            )

    def after_an_epoch(self) -> Balancing:
        """Return a method that has trained three tasks for an epoch."""
        method = self.method()
        Problem((1, 2, 3)).fit(method, 1)
        return method

    def test_tasks_of_another_number_are_refused(self) -> None:
        problem = Problem((1, 2, 3, 4))
        method = self.method(tasks=3)
        with pytest.raises((ValueError, RuntimeError, IndexError)):
            self.gradients(problem, method)

    def test_partial_steps_train_only_their_tasks(self) -> None:
        if not self.method().subsets:
            pytest.skip("the method takes steps on all tasks only")
        for tasks in ((0,), (2,), (0, 2)):
            found = self.gradients(Problem((1, 2, 3)), self.method(), tasks)
            for name, gradient in found.items():
                chosen = name.startswith("trunk") or int(name.split(".")[1]) in tasks
                assert (gradient is not None) == chosen, f"`{name}` with a step on {tasks}"
                assert gradient is None or bool(torch.isfinite(gradient).all())

    def test_preference_changes_the_update_or_is_refused(self) -> None:
        uneven = [0.7, 0.2, 0.1]
        try:
            method = self.method(preference=uneven)
        except BadInput as error:
            assert not takes_preference(self.settings) and "takes no preference" in str(error), (
                f"a method that takes a preference refuses {uneven}: {error}"
            )
            return
        assert takes_preference(self.settings), f"a method without a preference accepts {uneven}"
        problem = Problem((1, 1, 1))
        first, second = self.gradients(problem, self.method()), self.gradients(problem, method)
        differing = [
            name
            for name, gradient in first.items()
            if not same(_full(gradient), _full(second[name]))
        ]
        assert differing, f"the preference {uneven} changes nothing"

    def test_after_step_changes_only_the_method_state(self) -> None:
        problem, method = Problem((1, 2, 3)), self.method()
        self.gradients(problem, method)
        before = {
            name: (p.detach().clone(), _full(p.grad).clone())
            for name, p in problem.named_parameters()
        }
        method.after_step(problem._losses_now)
        method.end_of_epoch(1, problem._losses_now())
        for name, parameter in problem.named_parameters():
            assert same(parameter.detach(), before[name][0]) and same(
                _full(parameter.grad), before[name][1]
            ), f"`{name}` was changed"


def _full(gradient: Tensor | None) -> Tensor:
    return torch.zeros(()) if gradient is None else gradient


def _sizes(state: Any) -> Any:
    """Return the structure of a state: keys, lengths and shapes."""
    if isinstance(state, Tensor):
        return tuple(state.shape)
    if isinstance(state, dict):
        return {key: _sizes(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return [_sizes(value) for value in state]
    return None
