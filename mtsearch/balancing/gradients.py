"""Gradient methods: balancing methods that combine the gradients of the tasks' losses."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from mtsearch.balancing.base import Balancing, Level, Step
from mtsearch.balancing.jacobian import Jacobian
from mtsearch.config.errors import BadInput


class GradientBalancing(Balancing):
    """Combines the K gradients of the losses with respect to the shared features or the shared
    parameters.

    - ``feature``: the Jacobian is taken with respect to the shared features, which costs one
      backward pass through each head. One backward pass through the shared part with the combined
      gradient follows. Shared parameters after these features get the sum of the tasks' gradients.
    - ``parameter``: the Jacobian is taken with respect to all shared parameters, which costs one
      backward pass through the whole network per task.

    With several ranks, level ``feature`` sums the Gramian over the ranks, and level ``parameter``
    the Jacobian.

    At both levels the task-specific parameters get the unweighted gradient of their task's loss.

    A subclass implements `aggregate`, and `objectives` if it differentiates functions of the losses
    instead of the losses.
    """

    def __init__(self, settings: Any, preference: Tensor, coefficient: float) -> None:
        super().__init__(settings, preference, coefficient)
        self.preference = preference.detach().double().cpu()
        self._plain = False

    @property
    def level(self) -> Level:
        return self.settings.level  # type: ignore[no-any-return]

    @abstractmethod
    def aggregate(self, jacobian: Jacobian, losses: Tensor) -> list[Tensor]:
        """Return the combined gradient, one tensor for each block of `jacobian`.

        Args:
            jacobian: the gradients of the K objectives.
            losses: (K,) the losses of the step, without graphs.
        """

    def objectives(self, terms: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return the K scalars to differentiate, given the K losses (scalars with their graphs)."""
        return terms

    def backward_present(self, step: Step, tasks: list[int]) -> None:
        """Run `backward` on the present tasks. A single present task gets its plain gradient, and
        the state does not change."""
        if len(tasks) > 1 or not bool(self.task_weights[tasks].any()):
            super().backward_present(step, tasks)
            return
        plain = type(self)(self.settings, self.preference.new_ones(1), self.coefficient)
        plain._plain = True
        plain.backward(step)

    def backward(self, step: Step) -> None:
        self.check(step)
        terms = step.terms or step.losses.unbind()
        if not self._plain:
            terms = self.objectives(terms)
        losses = step.losses.detach()
        if self.level == "feature":
            self._through_features(step, terms, losses)
        else:
            self._into_parameters(step, terms, losses)

    def _through_features(self, step: Step, terms: Sequence[Tensor], losses: Tensor) -> None:
        if not step.shared:
            raise BadInput(
                f"{self._key} with `level: feature` needs features that all tasks share."
                f" Found none. {self._hint}"
            )
        if any(
            leaf is feature or not leaf.is_leaf
            for feature, leaf in zip(step.shared, step.read, strict=True)
        ):
            raise ValueError(
                "Parameter `read` should contain `feature.detach().requires_grad_()` of each shared"
                " feature, which the heads read."
            )
        pairs = [
            (feature, leaf)
            for feature, leaf in zip(step.shared, step.read, strict=True)
            if feature.requires_grad
        ]
        jacobian = _jacobian(terms, [leaf for _, leaf in pairs], step.over_ranks)
        if pairs:  # empty if the shared part is frozen
            torch.autograd.backward(
                [feature for feature, _ in pairs], self._combined(jacobian, losses)
            )

    def _into_parameters(self, step: Step, terms: Sequence[Tensor], losses: Tensor) -> None:
        parameters = [p for p in step.shared_parameters if p.requires_grad]
        if not parameters:
            raise BadInput(
                f"{self._key} needs parameters that several tasks share. Found none. {self._hint}"
            )
        before = [p.grad for p in parameters]
        jacobian = _jacobian(terms, parameters)
        for block in jacobian.blocks:
            step.over_ranks(block)
        step.summed += parameters
        for parameter, old, new in zip(
            parameters, before, self._combined(jacobian, losses), strict=True
        ):
            parameter.grad = new if old is None else old + new

    def _combined(self, jacobian: Jacobian, losses: Tensor) -> list[Tensor]:
        if self._plain:
            k = len(losses)
            return jacobian.combine(torch.full((k,), 1 / k))
        return self.aggregate(jacobian, losses)

    @property
    def _key(self) -> str:
        return f"`trial.balancing: {self.settings.name}`"

    @property
    def _hint(self) -> str:
        return "Use `linear`, or an architecture with a shared part."


def _jacobian(
    terms: Sequence[Tensor],
    leaves: Sequence[Tensor],
    over_ranks: Callable[[Tensor], Tensor] | None = None,
) -> Jacobian:
    """Return the Jacobian of the terms with respect to `leaves`, whose ``.grad`` is None
    afterwards. All other leaves of the graph accumulate the gradients of the terms."""
    rows: list[list[Tensor]] = []
    for number, term in enumerate(terms):
        for leaf in leaves:
            leaf.grad = None
        term.backward(retain_graph=number + 1 < len(terms))  # type: ignore[no-untyped-call]
        rows.append([torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves])
    for leaf in leaves:
        leaf.grad = None
    return Jacobian([torch.stack(column) for column in zip(*rows, strict=True)], over_ranks)
