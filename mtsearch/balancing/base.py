"""The contract of all balancing methods: how the losses of one step become one update."""

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
"""Where a method acts: on the losses alone, on their gradients at the shared boundary, or on their
gradients in the shared parameters."""


@dataclass
class Step:
    """What a step has computed before its backward pass.

    Attributes:
        losses: (k,) mean losses of the tasks that this step trains, with their graphs.
        tasks: (k) indices of those tasks among all K tasks of the trial, ascending.
        shared: the features at the shared boundary, with the trunk's graph. Empty where nothing is
            shared.
        read: what the heads read of them: detached leaves that require gradients where the level is
            ``feature``, else `shared` itself.
        shared_parameters: the parameters that more than one task uses.
        penalty: the value of the sparsity objective, without a gradient.
        terms: the losses as k scalars, before they were stacked. Gradient methods differentiate
            each on its own; from a stacked vector every pass would go through the heads of all
            tasks, with zeros. Empty: the losses are taken apart.
        over_ranks: sums a tensor over the ranks that train together, in place; each has a share of
            the step's images. The losses have the value of all ranks and the graph of one, so that
            a gradient's sum over ranks is that of the joint batch.
        summed: parameters whose gradients a method has summed over ranks itself; the others' are
            summed after `Balancing.update`.
        present: whether each of `tasks` has anything to train in this step (labels on any rank, or
            an extra loss); None where all have.
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
                f"Parameter `present` should hold a value for each of {len(self.tasks)} tasks."
                f" Found {self.present}."
            )

    def only(self, places: Sequence[int]) -> Step:
        """The step on some of its losses, by their places, numbered from 0."""
        source = self.terms or self.losses.unbind()
        terms = [source[place] for place in places]
        return replace(
            self,
            losses=torch.stack(terms),  # whose graph does not contain the other losses
            tasks=tuple(range(len(places))),
            terms=terms,
            present=None,
        )


class Balancing(ABC):
    """Turns the losses of a step into gradients of all parameters.

    Random methods draw from torch's global generator, which the trial lends them.

    Args:
        settings: the settings model this method was registered for.
        preference: (K,) weights of the tasks on the simplex.
        coefficient: the sparsity coefficient k0, in [0, 1).
    """

    subsets: ClassVar[bool] = False
    """Whether it can balance steps of task schedules that train only some of the tasks."""
    task_state: ClassVar[dict[str, int]] = {}
    """For each entry of the state with values per task, how many leading axes are over the tasks.
    A method with a state needs it to train a step in which a task has no labels."""
    simplex_state: ClassVar[str | None] = None
    """The entry of the state that holds weights of sum 1: where tasks are absent, the present ones
    keep the sum that they had."""

    def __init__(self, settings: Any, preference: Tensor, coefficient: float) -> None:
        self.settings = settings
        self.coefficient = coefficient
        self.task_weights = (1 - coefficient) * preference.detach().double()
        self._dtype = preference.dtype
        self._part: tuple[Balancing, list[int]] | None = None

    @property
    def level(self) -> Level:
        """Where the method acts."""
        return "loss"

    @abstractmethod
    def backward(self, step: Step) -> None:
        """Accumulate the update's gradient into ``.grad`` of every parameter that the step's tasks
        use."""

    def update(self, step: Step) -> None:
        """`backward` over the tasks that are present in the step.

        With all present this is `backward`. Otherwise a method of the same settings over the
        present tasks, with their share of the preference and their part of the state, makes the
        update. The other tasks' own parameters get no gradient and their state stays. Tasks
        without weight in the preference train nothing where no other is present.
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
        """`backward` of a step on `tasks` only, ascending indices among all K, of which some are
        absent."""
        weights = self.task_weights[tasks]
        if not bool(weights.any()):
            (0 * step.losses.sum()).backward()  # type: ignore[no-untyped-call]
            return
        part = self.part(weights / weights.sum(), tasks)
        part.backward(step)
        self.absorb(part, tasks)
        self._part = part, tasks

    def part(self, preference: Tensor, tasks: list[int]) -> Balancing:
        """A method of these settings over `tasks`, with `preference` (k,) and their part of the
        state. Raises BadInput where it is not known which state belongs to which task."""
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
        """The settings of a method over `tasks`."""
        return self.settings

    def absorb(self, part: Balancing, tasks: list[int]) -> None:
        """Take the state of `part`, which has trained `tasks`."""
        if self.task_state:
            state, new = self.state_dict(), part.state_dict()
            count, name = len(self.task_weights), self.simplex_state
            if name is not None:
                equal = torch.full((count,), 1 / count).to(new[name])
                state[name] = equal if state[name] is None else state[name]
                new[name] = new[name] * state[name][tasks].sum()
            self.load_state_dict(merge(state, new, self.task_state, tasks, count))

    def check(self, step: Step) -> None:
        """Raises ValueError for a step on more tasks than the method knows, or on some of them only
        where it needs all."""
        known, found = len(self.task_weights), len(step.losses)
        if found != known and not (self.subsets and found < known):
            raise ValueError(
                f"Parameter `step` should hold one loss for each of {known} tasks. Found {found}."
            )

    def parameters(self) -> list[nn.Parameter]:
        """Parameters of the method itself that the trial's optimiser trains (uncertainty
        weighting's variances)."""
        return []

    def after_step(self, losses: Callable[[], Tensor]) -> None:
        """After the optimiser's step: `losses` evaluates the step's batch again, (k,) without
        graphs, for methods that look at progress."""
        del losses

    def due(self, epoch: int) -> bool:
        """Whether `end_of_epoch` updates anything after this epoch (from 1): the losses it wants
        are measured only then."""
        return False

    def end_of_epoch(self, epoch: int, losses: Tensor, penalty: float = 0.0) -> None:
        """Dual update, where the method has one: `epoch` counts finished epochs from 1, `losses`
        (K,) are measured in eval mode on fixed data."""
        del epoch, losses, penalty  # most methods have no dual variable

    def state_dict(self) -> dict[str, Any]:
        """Plain values and tensors from which `load_state_dict` continues bit-identically."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave. Raises ValueError for a state of another method."""
        if set(state) != set(self.state_dict()):
            raise ValueError(
                f"State of `{type(self).__name__}` should hold {sorted(self.state_dict())}. Found"
                f" {sorted(state)}."
            )


balancing = implements
"""Register the method of a settings class: ``@balancing(MyConfig)``."""


def build_balancing(
    settings: Model | str | Mapping[str, Any],
    weights: Tensor | Sequence[float],
    coefficient: float = 0.0,
) -> Balancing:
    """The method that `settings` asks for.

    Args:
        settings: as for `trial.balancing`: a name, ``{"name": "chebyshev_al", "mu": 0.5}``, or a
            settings model of kind ``balancing``.
        weights: (K,) the preference over the tasks, on the simplex.
        coefficient: the sparsity coefficient k0 in [0, 1); 0 leaves the sparsity objective out.

    Raises:
        BadInput: `settings` has no method, `weights` are not on the simplex or are unequal where
            the method takes none, or `coefficient` is out of range.
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
            "`trial.preference` should hold one non-negative weight a task and sum to 1. Found"
            f" {weights.tolist()}."
        )
    if not takes_preference(given) and not equal(weights.tolist()):
        raise BadInput(f"`trial.preference` {unused_preference(given, weights.tolist())}")
    if not 0 <= coefficient < 1:
        raise BadInput(f"`trial.sparsity.coefficient` should be in [0, 1). Found {coefficient}.")
    built: Balancing = method(given, weights, coefficient)
    return built
