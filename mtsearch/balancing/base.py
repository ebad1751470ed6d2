"""Base class of all balancing methods, which combine the losses of one step into one update."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from mtsearch.balancing.partial import merge, select
from mtsearch.config.balancing import equal, takes_preference, unused_preference
from mtsearch.config.base import Model
from mtsearch.config.errors import BadInput
from mtsearch.config.registry import implementation_of, implements
from mtsearch.config.trial import TrialConfig
from mtsearch.config.validation import validate_tree

Level = Literal["loss", "feature", "parameter"]
"""What a method combines: the losses, their gradients with respect to the shared features, or their
gradients with respect to the shared parameters."""


@dataclass
class Step:
    """The results of a step's forward pass, before its backward pass.

    Attributes:
        losses: (k,) mean losses of the tasks that this step trains, with their graphs.
        tasks: (k) indices of those tasks among all K tasks of the trial, ascending.
        shared: the shared features, with the trunk's graph. Empty if nothing is shared.
        read: the features that the heads read: at level ``feature`` detached copies of `shared`
            that require gradients, else `shared` itself.
        shared_parameters: the parameters that more than one task uses.
        penalty: the value of the sparsity objective, without a gradient.
        terms: the losses as k scalars, before they were stacked. Gradient methods differentiate
            each of them separately; a pass from the stacked vector would also go through the heads
            of all other tasks, with zero gradients. If empty, `losses` is unbound instead.
        over_ranks: sums a tensor over the ranks that train together, in place; each rank has a
            share of the step's images. A loss has the value over all ranks and the graph of its own
            rank, so that the sum of a gradient over ranks is the gradient on the joint batch.
        summed: parameters whose gradients the method has summed over ranks itself; all other
            gradients are summed after `Balancing.update`.
        present: whether each of `tasks` has anything to train in this step (labels on any rank, or
            an extra loss); None if all have.
    """

    losses: Tensor
    tasks: tuple[int, ...]
    shared: list[Tensor] = field(default_factory=list)
    read: list[Tensor] = field(default_factory=list)
    shared_parameters: Sequence[nn.Parameter] = ()
    penalty: float = 0.0
    terms: Sequence[Tensor] = ()
    over_ranks: Callable[[Tensor], Tensor] = field(default=lambda tensor: tensor)
    summed: list[nn.Parameter] = field(default_factory=list)
    present: Sequence[bool] | None = None

    def __post_init__(self) -> None:
        if len(self.tasks) != len(self.losses):
            raise ValueError(
                f"Parameter `tasks` should name the task of each of {len(self.losses)} losses."
                f" Found {self.tasks}."
            )
        if self.present is not None and len(self.present) != len(self.tasks):
            raise ValueError(
                f"Parameter `present` should contain a value for each of {len(self.tasks)} tasks."
                f" Found {self.present}."
            )

    def only(self, places: Sequence[int]) -> Step:
        """Return the step restricted to the losses at `places`, indices into `losses`."""
        source = self.terms or self.losses.unbind()
        terms = [source[place] for place in places]
        return replace(
            self,
            losses=torch.stack(terms),  # a graph without the other losses
            tasks=tuple(range(len(places))),
            terms=terms,
            present=None,
        )


class Balancing(ABC):
    """Computes the gradients of all parameters from the losses of a step.

    Random methods draw from torch's global generator, which the trial seeds.

    Args:
        settings: the settings model for which this method was registered.
        preference: (K,) weights of the tasks on the simplex.
        coefficient: the sparsity coefficient k0, in [0, 1).
    """

    subsets: ClassVar[bool] = False
    """Whether the method supports task schedules whose steps train only some of the tasks."""
    task_state: ClassVar[dict[str, int]] = {}
    """For each entry of the state with values per task, the number of leading axes over the tasks.
    A method with a state must define it to train steps in which a task has no labels."""
    simplex_state: ClassVar[str | None] = None
    """The entry of the state that contains weights of sum 1. In steps without some of the tasks,
    the sum of the present tasks' weights stays constant."""

    def __init__(self, settings: Any, preference: Tensor, coefficient: float) -> None:
        self.settings = settings
        self.coefficient = coefficient
        self.task_weights = (1 - coefficient) * preference.detach().double()
        self._dtype = preference.dtype
        self._part: tuple[Balancing, list[int]] | None = None

    @property
    def level(self) -> Level:
        """What the method combines (see `Level`)."""
        return "loss"

    @abstractmethod
    def backward(self, step: Step) -> None:
        """Accumulate the update's gradient into ``.grad`` of every parameter that the step's tasks
        use."""

    def update(self, step: Step) -> None:
        """Run `backward` on the tasks that are present in the step.

        If some tasks are absent, the update is that of a method with the same settings over the
        present tasks, with their renormalised preference and their part of the state. The
        parameters of absent tasks get no gradient, and their state does not change. If all present
        tasks have weight 0 in the preference, all gradients are zero.
        """
        self._part = None
        if step.present is None or all(step.present):
            self.backward(step)
            return
        self.check(step)
        tasks = [place for place, present in enumerate(step.present) if present]
        if tasks:
            self.backward_present(step.only(tasks), tasks)

    def backward_present(self, step: Step, tasks: list[int]) -> None:
        """Run `backward` on a step from which some tasks are absent; `tasks` are the ascending
        indices of the present ones among all K."""
        weights = self.task_weights[tasks]
        if not bool(weights.any()):
            (0 * step.losses.sum()).backward()  # type: ignore[no-untyped-call]
            return
        part = self.part(weights / weights.sum(), tasks)
        part.backward(step)
        self.absorb(part, tasks)
        self._part = part, tasks

    def part(self, preference: Tensor, tasks: list[int]) -> Balancing:
        """Return a method with these settings over `tasks`, with `preference` (k,) and their part
        of the state. Raises BadInput if a method with a state does not define `task_state`."""
        state = self.state_dict()
        if state and not self.task_state:
            raise BadInput(
                f"`trial.balancing: {self.settings.name}` should say which state belongs to a task,"
                " to train a step in which tasks have no labels. Found no `task_state` in"
                f" {type(self).__name__}; set it, or use `linear`."
            )
        part = type(self)(self.part_settings(tasks), preference.to(self._dtype), self.coefficient)
        own = select(state, self.task_state, tasks)
        name = self.simplex_state
        if name is not None and own[name] is not None:
            own[name] = own[name] / own[name].sum()
        part.load_state_dict(own)
        return part

    def part_settings(self, tasks: list[int]) -> Any:
        """Return the settings of the method over `tasks`."""
        return self.settings

    def absorb(self, part: Balancing, tasks: list[int]) -> None:
        """Merge the state of `part`, which has trained `tasks`, into the state of this method."""
        if self.task_state:
            state, new = self.state_dict(), part.state_dict()
            count, name = len(self.task_weights), self.simplex_state
            if name is not None:
                equal = torch.full((count,), 1 / count).to(new[name])
                state[name] = equal if state[name] is None else state[name]
                new[name] = new[name] * state[name][tasks].sum()
            self.load_state_dict(merge(state, new, self.task_state, tasks, count))

    def check(self, step: Step) -> None:
        """Raise ValueError if the step has more tasks than the method, or fewer although the method
        needs all of them."""
        known, found = len(self.task_weights), len(step.losses)
        if found != known and not (self.subsets and found < known):
            raise ValueError(
                f"Parameter `step` should contain one loss for each of {known} tasks. Found"
                f" {found}."
            )

    def parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the method itself that the trial's optimiser trains, such as
        the variances of uncertainty weighting."""
        return []

    def after_step(self, losses: Callable[[], Tensor]) -> None:
        """Update the method after the optimiser's step. `losses` evaluates the step's batch again,
        (k,) without graphs, for methods that measure progress."""
        del losses

    def due(self, epoch: int) -> bool:
        """Return whether `end_of_epoch` updates anything after this epoch (from 1); its losses are
        measured only then."""
        return False

    def end_of_epoch(self, epoch: int, losses: Tensor, penalty: float = 0.0) -> None:
        """Update the state at the end of an epoch, such as the dual variables. `epoch` counts
        finished epochs from 1; `losses` (K,) are measured in eval mode on fixed data."""
        del epoch, losses, penalty  # most methods have no such state

    def state_dict(self) -> dict[str, Any]:
        """Return the plain values and tensors from which `load_state_dict` continues
        bit-identically."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state of `state_dict`. Raises ValueError for the state of another method."""
        if set(state) != set(self.state_dict()):
            raise ValueError(
                f"State of `{type(self).__name__}` should contain {sorted(self.state_dict())}."
                " Found"
                f" {sorted(state)}."
            )


balancing = implements
"""Register the method of a settings class: ``@balancing(MyConfig)``."""


def build_balancing(
    settings: Model | str | Mapping[str, Any],
    weights: Tensor | Sequence[float],
    coefficient: float = 0.0,
) -> Balancing:
    """Build the method that `settings` select.

    Args:
        settings: as for `trial.balancing`: a name, ``{"name": "chebyshev_al", "mu": 0.5}``, or a
            settings model of kind ``balancing``.
        weights: (K,) the preference over the tasks, on the simplex.
        coefficient: the sparsity coefficient k0 in [0, 1); 0 disables the sparsity objective.

    Returns:
        The method, in its initial state.

    Raises:
        BadInput: `settings` has no method, `weights` are not on the simplex, `weights` are unequal
            although the method uses no preference, or `coefficient` is out of range.

    Example:
        >>> build_balancing({"name": "mgda", "level": "parameter"}, [0.5, 0.5]).level
        'parameter'
    """
    given = (
        settings
        if isinstance(settings, Model)
        else validate_tree(TrialConfig, {"balancing": settings}, "trial").balancing
    )
    weights = torch.as_tensor(weights)
    method = implementation_of(given)
    if not (isinstance(method, type) and issubclass(method, Balancing)):
        raise BadInput(
            "`trial.balancing` should be settings of a balancing method. Found"
            f" {type(given).__name__}."
        )
    if (
        weights.ndim != 1
        or bool((weights < 0).any())
        or abs(weights.double().sum().item() - 1) > 1e-6
    ):
        raise BadInput(
            "`trial.preference` should contain one non-negative weight per task and sum to 1. Found"
            f" {weights.tolist()}."
        )
    if not takes_preference(given) and not equal(weights.tolist()):
        raise BadInput(f"`trial.preference` {unused_preference(given, weights.tolist())}")
    if not 0 <= coefficient < 1:
        raise BadInput(f"`trial.sparsity.coefficient` should be in [0, 1). Found {coefficient}.")
    built: Balancing = method(given, weights, coefficient)
    return built
