"""What a geometric augmentation does to the values of labels, by task kind.

Pixels of dense labels are moved with those of the images before; a hook changes the values that
depend on the movement, such as the first component of surface normals after a horizontal flip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from torch import Tensor

from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.config.registry import Registry

if TYPE_CHECKING:
    from mtsearch.config.augmentation import Augment
    from mtsearch.data.transforms import Move

Geometry = Callable[[TaskCard, Tensor, "Move"], Tensor]
"""(task, labels (B, ...) whose pixels have been moved, movement of the B examples) -> labels with
the values that belong to the moved images. Missing labels stay missing; the input is not
changed."""

GEOMETRIC = ("rotation", "crop", "flip", "quarter_turns", "zoom")
"""The settings of `trial.augment` that move pixels."""

G = TypeVar("G", bound=Geometry)
_HOOKS: Registry[str, Geometry] = Registry("geometry of the task kind")
_REFUSED: dict[str, tuple[str, ...]] = {}


def geometry(kind: str, *, without: Sequence[str] = ()) -> Callable[[G], G]:
    """Register the hook of a task kind: ``@geometry("depth")``, or
    ``geometry("ages")(unchanged)`` for labels that do not depend on the movement.

    Args:
        kind: the task kind.
        without: settings of `trial.augment` that the kind refuses.
    """

    def register(hook: G) -> G:
        _HOOKS.add(kind, hook)
        _REFUSED[kind] = tuple(without)
        return hook

    return register


def unchanged(task: TaskCard, labels: Tensor, move: Move) -> Tensor:
    """The labels as they are, as for classes, numbers, and images."""
    return labels


_WHOLE = ("classification", "multilabel", "ordinal", "regression")
"""Kinds whose labels belong to whole images."""
for _kind in _WHOLE:
    geometry(_kind)(unchanged)
for _kind in ("segmentation", "restoration"):
    geometry(_kind)(unchanged)


def geometry_of(task: TaskCard, augment: Augment) -> Geometry | None:
    """The hook of a task's kind; None if it has none, or refuses a part of this augmentation."""
    refused = any(getattr(augment, name) for name in _REFUSED.get(task.kind, ()))
    return None if refused or task.kind not in _HOOKS else _HOOKS[task.kind]


def check_geometry(tasks: Sequence[TaskCard], augment: Augment | None) -> None:
    """Raise BadInput if the augmentation moves pixels and a task's kind has no hook, or refuses a
    part of it."""
    policy = None if augment is None else augment.rand_augment
    for task in tasks if policy is not None else ():
        if task.kind == "restoration":
            raise BadInput(
                "`trial.augment.rand_augment` changes images, but not the images that task"
                f" `{task.name}` restores. Leave it out."
            )
        if policy is not None and policy.geometric and task.kind not in _WHOLE:
            raise BadInput(
                "`trial.augment.rand_augment.geometric` moves pixels of images, but not the labels"
                f" of task `{task.name}`. Set it to false."
            )
    moving = [name for name in GEOMETRIC if augment is not None and getattr(augment, name)]
    for task in tasks if moving else ():
        if task.kind not in _HOOKS:
            raise BadInput(
                f"`trial.augment.{moving[0]}` moves pixels, but the kind `{task.kind}` of task"
                f" `{task.name}` does not say what this does to labels. Register it with"
                " `mtsearch.tasks.geometry`, or leave the setting out."
            )
        refused = [name for name in moving if name in _REFUSED[task.kind]]
        if refused:
            raise BadInput(
                f"`trial.augment.{refused[0]}` cannot be used with labels of {task.kind}, such as"
                f" those of task `{task.name}`. Leave it out."
            )


def hooks_of(
    tasks: Sequence[TaskCard], augment: Augment | None
) -> dict[str, Callable[[Tensor, Move], Tensor]]:
    """The hooks of the tasks whose labels depend on the movement, by task. Raises BadInput as
    `check_geometry`."""
    check_geometry(tasks, augment)
    return {
        task.name: partial(hook, task)
        for task in tasks
        if task.kind in _HOOKS and (hook := _HOOKS[task.kind]) is not unchanged
    }
