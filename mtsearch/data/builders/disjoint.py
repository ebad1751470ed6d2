"""Several image sets in one dataset, each with labels for its own tasks only (the datasets of MTLN,
and CIFAR-10 with FashionRGB)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, model_validator

from mtsearch.config.base import Model
from mtsearch.config.cards import DatasetCard
from mtsearch.config.errors import BadInput, nearest
from mtsearch.config.metrics import has_values
from mtsearch.data.builders.base import (
    DatasetBuilder,
    SplitArrays,
    SplitSpec,
    as_builder,
    check_classes,
    dataset_builder,
    read_source,
)
from mtsearch.data.builders.fitting import fit_images, fit_labels
from mtsearch.data.builders.label_mapping import any_labelled, map_labels
from mtsearch.data.cards import load_card
from mtsearch.data.formats import LabelledImages
from mtsearch.data.rows import FileRows, join_rows, loaded
from mtsearch.data.sources import ImageSource

_Side = tuple[NDArray[np.uint8] | FileRows, dict[str, NDArray[Any]]]


def _pairs(value: Any) -> Any:
    return {name: name for name in value} if isinstance(value, list | tuple) else value


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class Member(Model):
    """One of the image sets, given by a card or by a `source` block.

    Attributes:
        card: name or path of a card; of several, the first one whose files exist is used.
        source: a source block, in place of a card.
        shape: the shape (C, H, W) in which a `source` is read; by default the dataset's shape.
        tasks: `{task of this dataset: task of the member}`, or a list if the names are equal. A
            `source` labels the tasks in the order of this list.
        classes: by task of this dataset, `{class of the member: class of this dataset}`, the latter
            by name or number. Classes that are not named are left out. By default classes are
            mapped by name if both cards have names, else by number.
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
            raise ValueError("`shape` requires `source`; a `card` has its own shape")
        strange = set(self.classes) - set(self.tasks)
        if strange:
            raise ValueError(
                f"`classes` should name tasks of this member: {', '.join(self.tasks)}. Found"
                f" {min(strange)}"
            )
        return self


@dataclass(frozen=True)
class _Origin:
    """One alternative of a member: its card (None for a `source` block), its builder and the prefix
    of its fields."""

    card: DatasetCard | None
    builder: DatasetBuilder
    prefix: str

    def fields(self) -> dict[str, ImageSource]:
        return {f"{self.prefix}.{name}": source for name, source in self.builder.sources().items()}


@dataset_builder("disjoint")
class Disjoint(DatasetBuilder):
    """The concatenated splits of all members, scaled to the card's shape.

    Images have the label `ignore` for tasks that their member does not label. A member with a card
    of its own keeps that card's `val_fraction` unless `data.val_fraction` is given, so that its
    splits equal those of the member used alone.
    """

    kind: Literal["disjoint"] = "disjoint"
    members: tuple[Member, ...] = Field(min_length=1)

    @property
    def scalable(self) -> bool:
        return True

    @property
    def folded(self) -> bool:
        return all(origin.builder.folded for origins in self._origins for origin in origins)

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
        return origin.builder.beside(name.removeprefix(f"{origin.prefix}."), images)

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
            for part in origin.builder.ingredients()
        ]
        return [*(card.model_dump(mode="json", include=keys) for card in cards), *inner]

    def compose(
        self, card: DatasetCard, found: dict[str, LabelledImages], spec: SplitSpec
    ) -> dict[str, SplitArrays]:
        _check_tasks(card, self.members)
        composed = []
        for member, origins in zip(self.members, self._origins, strict=True):
            origin = next(o for o in origins if o.fields().keys() <= found.keys())
            composed.append(_compose(card, member, origin, found, spec))
        return {
            split: _concatenate(card, [parts[split] for parts in composed]) for split in composed[0]
        }


def _origins_of(number: int, member: Member) -> tuple[_Origin, ...]:
    if member.source is not None:
        return (
            _Origin(
                None,
                as_builder("of this set", member.source, f"source.members.{number}.source"),
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
                " one member or remove it from the card."
            )


def _compose(
    card: DatasetCard,
    member: Member,
    origin: _Origin,
    found: dict[str, LabelledImages],
    spec: SplitSpec,
) -> dict[str, _Side]:
    """Images in the card's shape, and labels by task of this dataset, for each split."""
    ours = {task.name: task for task in card.tasks}
    own = origin.card or card.model_copy(
        update={
            "tasks": tuple(ours[name] for name in member.tasks),
            "shape": member.shape or card.shape,
            "source": member.source,
        }
    )
    if origin.builder.scalable:
        # Scaled once, from the files: scaling down and up again would blur the images.
        own = own.model_copy(update={"shape": (own.shape[0], *card.shape[1:])})
    theirs = {task.name: number for number, task in enumerate(own.tasks)}
    for name in member.tasks.values():
        if name not in theirs:
            raise BadInput(
                f"A member of `{card.name}` names a task that `{own.name}` lacks: `{name}`."
                f" {nearest(name, theirs)}"
            )
    fraction = own.val_fraction if spec.val_fraction == card.val_fraction else spec.val_fraction
    fields = {name.removeprefix(f"{origin.prefix}."): found[name] for name in origin.fields()}
    out = {}
    for split, arrays in origin.builder.compose(
        own, fields, SplitSpec(spec.seed, fraction, spec.fold)
    ).items():
        labels = {}
        for mine, its in member.tasks.items():
            task = own.tasks[theirs[its]]
            values = loaded(arrays.labels[theirs[its]])
            if origin.card is not None:
                check_classes(own, task, values, split)
                values = map_labels(card, ours[mine], task, values, member.classes.get(mine))
            elif not has_values(task.kind):
                values = values.astype(np.int64)  # a mask's uint8 cannot represent `ignore`
            labels[mine] = fit_labels(values, arrays.images.shape[-2:], card.image_shape[1:])
        kept = np.flatnonzero(any_labelled(ours, labels, len(arrays.images)))
        images = arrays.images if len(kept) == len(arrays.images) else arrays.images[kept]
        out[split] = (
            images
            if images.shape[1:] == card.shape
            else fit_images(loaded(images), card.image_shape),
            {name: values[kept] for name, values in labels.items()},
        )
    return out


def _concatenate(card: DatasetCard, parts: list[_Side]) -> SplitArrays:
    columns = []
    for task in card.tasks:
        given = [labels[task.name] for _, labels in parts if task.name in labels]
        form = given[0]
        if has_values(task.kind) and form.dtype == np.uint8 and len(given) < len(parts):
            raise BadInput(
                f"Every member of `{card.name}` should provide the target images of `{task.name}`,"
                " because missing images have no `ignore` value."
            )
        if any(values.shape[1:] != form.shape[1:] for values in given):
            shapes = ", ".join(str(values.shape[1:]) for values in given)
            raise BadInput(
                f"The members of `{card.name}` that label `{task.name}` should have labels of equal"
                f" shape. Found shapes {shapes}."
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
    return SplitArrays(
        join_rows([images for images, _ in parts]),
        tuple(columns),
        tuple(len(images) for images, _ in parts),
    )
