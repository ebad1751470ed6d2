"""Several image sets behind each other, each labelled for its own tasks only (the sets of MTLN, and
CIFAR-10 with FashionRGB)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, model_validator

from mtsearch.config.base import Model
from mtsearch.config.cards import DatasetCard, TaskCard
from mtsearch.config.errors import BadInput, nearest
from mtsearch.config.metrics import has_values
from mtsearch.data.cards import load_card
from mtsearch.data.composers.base import (
    Composer,
    Cut,
    Side,
    as_composer,
    check_classes,
    composer,
    read_source,
)
from mtsearch.data.composers.fitting import fit_images, fit_labels
from mtsearch.data.find import ImageSource
from mtsearch.data.formats import LabelledImages


def _pairs(value: Any) -> Any:
    return {name: name for name in value} if isinstance(value, list | tuple) else value


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class Member(Model):
    """One of the sets: the name or path of its card (of several, the first whose files are there is
    used), or a `source` written here.

    ``tasks``: which task of ours each task of the member is, as `{ours: theirs}`, or a list where
    the names are the same. A source written here labels our tasks in the order of this list.
    ``classes``: for a task of ours, the class (name or number) that each class of theirs is;
    classes that are not named here are left out. Without it classes go by their names where both
    cards give names, else by their numbers. ``shape``: the shape that a source written here is read
    in; else ours.
    """

    card: Annotated[tuple[str, ...], BeforeValidator(_several)] = ()
    source: dict[str, Any] | None = None
    shape: tuple[int, int, int] | None = None
    tasks: Annotated[dict[str, str], BeforeValidator(_pairs)] = Field(min_length=1)
    classes: dict[str, dict[str, str | int]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_origin(self) -> Member:
        if bool(self.card) == (self.source is not None):
            raise ValueError("a member should have either `card` or `source`")
        if self.card and self.shape is not None:
            raise ValueError("`shape` goes with `source`; a `card` has its own")
        strange = set(self.classes) - set(self.tasks)
        if strange:
            raise ValueError(
                f"`classes` should name tasks of this member: {', '.join(self.tasks)}. Found"
                f" {min(strange)}"
            )
        return self


@dataclass(frozen=True)
class _Origin:
    """What a member may be made from: its card (None for a source written in ours), its composer
    and the prefix of its fields."""

    card: DatasetCard | None
    composer: Composer
    prefix: str

    def fields(self) -> dict[str, ImageSource]:
        return {f"{self.prefix}.{name}": source for name, source in self.composer.sources().items()}


@composer("disjoint")
class Disjoint(Composer):
    """The members' splits, each as its own card makes it, behind each other in the members' order,
    fitted to the card's shape.

    The tasks that a member does not label get `ignore` there. `data.val_fraction` cuts every
    member; otherwise a member with a card keeps that card's fraction, and so has the very splits
    that it has alone.
    """

    kind: Literal["disjoint"] = "disjoint"
    members: tuple[Member, ...] = Field(min_length=1)

    @property
    def scalable(self) -> bool:
        return True

    @property
    def folded(self) -> bool:
        return all(origin.composer.folded for origins in self._origins for origin in origins)

    @cached_property
    def _origins(self) -> tuple[tuple[_Origin, ...], ...]:
        return tuple(_origins_of(number, member) for number, member in enumerate(self.members))

    def sources(self) -> dict[str, ImageSource]:
        return {
            name: source
            for origins in self._origins
            for origin in origins
            for name, source in origin.fields().items()
        }

    def choose(
        self, found: dict[str, LabelledImages | None]
    ) -> tuple[dict[str, LabelledImages], list[str]]:
        chosen: dict[str, LabelledImages] = {}
        missing: list[str] = []
        for origins in self._origins:
            origin = next(
                (o for o in origins if all(found[name] is not None for name in o.fields())), None
            )
            if origin is not None:
                chosen |= {
                    name: images for name in origin.fields() if (images := found[name]) is not None
                }
            else:
                lacks = [
                    [source.title for name, source in o.fields().items() if found[name] is None]
                    for o in origins
                ]
                missing.append(" or ".join(dict.fromkeys(" and ".join(titles) for titles in lacks)))
        return chosen, list(dict.fromkeys(missing))

    def beside(self, name: str, images: LabelledImages) -> list[str]:
        origin = next(
            origin for origins in self._origins for origin in origins if name in origin.fields()
        )
        return origin.composer.beside(name.removeprefix(f"{origin.prefix}."), images)

    def ingredients(self) -> list[dict[str, Any]]:
        cards = [
            origin.card
            for origins in self._origins
            for origin in origins
            if origin.card is not None
        ]
        keys = {"name", "source", "shape", "tasks", "val_fraction"}
        inner = [
            part
            for origins in self._origins
            for origin in origins
            for part in origin.composer.ingredients()
        ]
        return [*(card.model_dump(mode="json", include=keys) for card in cards), *inner]

    def compose(
        self, card: DatasetCard, found: dict[str, LabelledImages], cut: Cut
    ) -> dict[str, Side]:
        _check_tasks(card, self.members)
        composed = []
        for member, origins in zip(self.members, self._origins, strict=True):
            origin = next(o for o in origins if o.fields().keys() <= found.keys())
            composed.append(_compose(card, member, origin, found, cut))
        return {
            split: _behind_each_other(card, [sides[split] for sides in composed])
            for split in composed[0]
        }


def _origins_of(number: int, member: Member) -> tuple[_Origin, ...]:
    if member.source is not None:
        return (
            _Origin(
                None,
                as_composer("of this set", member.source, f"source.members.{number}.source"),
                f"members.{number}",
            ),
        )
    cards = [load_card(name) for name in member.card]
    for card in cards:
        if card.source.get("kind") == "disjoint":
            raise BadInput(
                f"`source.members.{number}.card` should name one set. Found the disjoint"
                f" `{card.name}`; name its members."
            )
    return tuple(_Origin(card, read_source(card), card.name) for card in cards)


def _check_tasks(card: DatasetCard, members: tuple[Member, ...]) -> None:
    names = [task.name for task in card.tasks]
    given = [name for member in members for name in member.tasks]
    for name in given:
        if name not in names:
            raise BadInput(
                f"The members of `{card.name}` label a task that the card lacks: `{name}`."
                f" {nearest(name, names)}"
            )
    for name in names:
        if name not in given:
            raise BadInput(
                f"No member of `{card.name}` labels the task `{name}`; name it in the `tasks` of"
                " one or take it out."
            )


# ---------------------------------------------------------------- one member


def _compose(
    card: DatasetCard, member: Member, origin: _Origin, found: dict[str, LabelledImages], cut: Cut
) -> dict[str, tuple[NDArray[np.uint8], dict[str, NDArray[Any]]]]:
    """Images of the card's shape and labels by our task's name, by split."""
    ours = {task.name: task for task in card.tasks}
    own = origin.card or card.model_copy(
        update={
            "tasks": tuple(ours[name] for name in member.tasks),
            "shape": member.shape or card.shape,
            "source": member.source,
        }
    )
    if (
        origin.composer.scalable
    ):  # once, from the files: what is scaled down first and up again is blurred
        own = own.model_copy(update={"shape": (own.shape[0], *card.shape[1:])})
    theirs = {task.name: number for number, task in enumerate(own.tasks)}
    for name in member.tasks.values():
        if name not in theirs:
            raise BadInput(
                f"A member of `{card.name}` takes a task that `{own.name}` lacks: `{name}`."
                f" {nearest(name, theirs)}"
            )
    fraction = own.val_fraction if cut.val_fraction == card.val_fraction else cut.val_fraction
    fields = {name.removeprefix(f"{origin.prefix}."): found[name] for name in origin.fields()}
    out = {}
    for split, side in origin.composer.compose(
        own, fields, Cut(cut.seed, fraction, cut.fold)
    ).items():
        labels = {}
        for mine, its in member.tasks.items():
            task = own.tasks[theirs[its]]
            values = side.labels[theirs[its]]
            if origin.card is not None:
                check_classes(own, task, values, split)
                values = _translated(card, ours[mine], task, values, member.classes.get(mine))
            elif not has_values(task.kind):
                values = values.astype(np.int64)  # a mask's bytes have no room for `ignore`
            labels[mine] = fit_labels(values, side.images.shape[-2:], card.shape[1:])
        kept = np.flatnonzero(_known(ours, labels, len(side.images)))
        images = side.images if len(kept) == len(side.images) else side.images[kept]
        out[split] = (
            fit_images(images, card.shape),
            {name: values[kept] for name, values in labels.items()},
        )
    return out


def _translated(
    card: DatasetCard,
    ours: TaskCard,
    theirs: TaskCard,
    values: NDArray[Any],
    classes: dict[str, str | int] | None,
) -> NDArray[Any]:
    """Labels of a member's task as labels of ours; `ignore` for what is not labelled and for
    classes that are left out. What a member ignores as undefined is our undefined label, which may
    be a class."""
    if ours.kind != theirs.kind:
        raise BadInput(
            f"The task `{ours.name}` of `{card.name}` is a {ours.kind}, but a member gives it"
            f" `{theirs.name}`, a {theirs.kind}."
        )
    if has_values(ours.kind):
        return values
    numbers = np.full(
        theirs.outputs + 1, ours.ignore, np.int64
    )  # the last for what is not labelled
    numbers[:-1] = _class_numbers(card, ours, theirs, classes)
    if _adds_undefined(ours, theirs):
        assert ours.undefined is not None
        numbers[-1] = ours.undefined
    return numbers[np.where(values == theirs.ignore, theirs.outputs, values)]


def _adds_undefined(ours: TaskCard, theirs: TaskCard) -> bool:
    """Whether undefined pixels, which the member ignores, are a class of ours."""
    return (
        theirs.undefined is not None
        and theirs.undefined == theirs.ignore
        and ours.undefined not in (None, ours.ignore)
    )


def _class_numbers(
    card: DatasetCard, ours: TaskCard, theirs: TaskCard, classes: dict[str, str | int] | None
) -> list[int]:
    """Our number of each class of theirs."""
    where = f"The task `{ours.name}` of `{card.name}`"
    if classes is None:
        if not (ours.classes and theirs.classes):
            numbers = [
                number
                for number in range(ours.outputs)
                if number != ours.undefined or not _adds_undefined(ours, theirs)
            ]
            if len(numbers) != theirs.outputs:
                raise BadInput(
                    f"{where} has {len(numbers)} classes, but a member gives it {theirs.outputs};"
                    " name the classes in both cards, or map them in the member's `classes`."
                )
            return numbers
        unknown = next((name for name in theirs.classes if name not in ours.classes), None)
        if unknown is not None:
            raise BadInput(
                f"{where} has no class `{unknown}`, which a member labels; map it, or leave it out,"
                " in the member's `classes`."
            )
        return [ours.classes.index(name) for name in theirs.classes]
    for name, target in classes.items():
        if name not in theirs.classes:
            raise BadInput(
                f"{where}: a member's `classes` names a class it lacks: `{name}`."
                f" {nearest(name, theirs.classes)}"
            )
        if target not in ours.classes and not (
            isinstance(target, int) and 0 <= target < ours.outputs
        ):
            raise BadInput(
                f"{where}: a member's `classes` maps `{name}` to `{target}`, which is no class of"
                " the task."
            )
    to = {
        name: target if isinstance(target, int) else ours.classes.index(target)
        for name, target in classes.items()
    }
    return [to.get(name, ours.ignore) for name in theirs.classes]


def _known(
    ours: dict[str, TaskCard], labels: dict[str, NDArray[Any]], count: int
) -> NDArray[np.bool_]:
    """Which images (count,) have a label for some task."""
    known = np.zeros(count, bool)
    for name, values in labels.items():
        flat = values.reshape(count, -1)
        known |= (
            ~np.isnan(flat)
            if np.issubdtype(values.dtype, np.floating)
            else flat != ours[name].ignore
        ).any(1)
    return known


# ---------------------------------------------------------------- all members


def _behind_each_other(
    card: DatasetCard, parts: list[tuple[NDArray[np.uint8], dict[str, NDArray[Any]]]]
) -> Side:
    columns = []
    for task in card.tasks:
        given = [labels[task.name] for _, labels in parts if task.name in labels]
        form = given[0]
        if has_values(task.kind) and form.dtype == np.uint8 and len(given) < len(parts):
            raise BadInput(
                f"Every member of `{card.name}` should give the pictures of `{task.name}`: there is"
                " no value for a missing one."
            )
        if any(values.shape[1:] != form.shape[1:] for values in given):
            shapes = ", ".join(str(values.shape[1:]) for values in given)
            raise BadInput(
                f"The members of `{card.name}` that label `{task.name}` should do so in one form."
                f" Found shapes {shapes}."
            )
        blank = np.nan if np.issubdtype(form.dtype, np.floating) else task.ignore
        columns.append(
            np.concatenate(
                [
                    (
                        labels[task.name]
                        if task.name in labels
                        else np.full((len(images), *form.shape[1:]), blank, form.dtype)
                    )
                    for images, labels in parts
                ]
            )
        )
    return Side(
        np.concatenate([images for images, _ in parts]),
        tuple(columns),
        tuple(len(images) for images, _ in parts),
    )
