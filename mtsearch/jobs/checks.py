"""What is refused before anything starts, in one sentence each: what no sampler, machine or model
builder can do."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mtsearch.config.base import Model
from mtsearch.config.dimensions import Dimension, bounds, label
from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.config.space import Space

if TYPE_CHECKING:
    from mtsearch.config.cards import DatasetCard, TaskCard
    from mtsearch.data import Dataset
    from mtsearch.models import MultiTaskModel

_ALONE = {
    "seed",
    "optimizer",
    "lr_schedule",
    "clip",
    "ema",
    "augment",
    "report_every",
    "bn",
    "threads",
    "device",
    "precision",
    "compile",
}
"""The keys of a trial that go with whatever the others are."""
Choice = tuple[Dimension, Any]


def check_trials(
    space: Space,
    data: DataConfig,
    card: DatasetCard,
    dataset: Dataset | None = None,
    only: str | None = None,
) -> None:
    """Hold every variant of a trial against the dataset, as the trial itself does before its first
    step. Raises BadInput.

    Args:
        space: what is searched.
        data: which dataset, and where it is.
        card: of the dataset.
        dataset: the dataset, of which the labels are enough; None for what shows without it.
        only: the one configuration that is to be trained, ``trial`` for the defaults or
            ``controls.NAME``; None for a search.
    """
    from mtsearch.population import check_trial  # imports torch

    build, seen = _Builder(), set()
    for variant in variants(space):
        if only is not None and (variant.where != only or variant.drawn):
            continue
        key = _key(variant.config, dataset is not None)
        if key in seen:
            continue
        seen.add(key)
        try:
            with _borrowed_random():
                check_trial(variant.config, data, card, dataset, build)
        except BadInput as error:
            raise BadInput(locate_error(space, variant, str(error))) from None
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise BadInput(
                locate_error(
                    space,
                    variant,
                    f"no network for {card.name} comes of it: {type(error).__name__}: {reason}.",
                )
            ) from error


@dataclass(frozen=True)
class Variant:
    """A configuration that may come up: where it stands, and by which options of which dimensions
    it is drawn."""

    where: str
    config: TrialConfig
    drawn: tuple[tuple[str, Any], ...] = ()


def variants(space: Space, pairs: bool = True) -> Iterator[Variant]:
    """The defaults, the controls, each end of each dimension, and with `pairs` each pair of ends of
    any two dimensions that may not go together; all else is as is typical of it. Raises BadInput
    for what is no configuration.
    """
    yield Variant("trial", space.trial())
    for name, tree in space.controls.items():
        yield Variant(f"controls.{name}", space.trial(tree))
    named = [(dimension, value) for dimension in space.dimensions for value in bounds(dimension)]
    for chosen in named:
        yield _drawn(space, (chosen,))
    if not pairs:
        return
    meeting = [
        (dimension, value)
        for dimension, value in named
        if dimension.path.split(".")[1].partition("@")[0] not in _ALONE
    ]
    for one, two in itertools.combinations(meeting, 2):
        if one[0].path != two[0].path and not _exclude(one, two) and not _exclude(two, one):
            yield _drawn(space, (one, two))


def _exclude(one: Choice, two: Choice) -> bool:
    """Whether the second dimension, or a common parent, is there only when the first one has
    another value."""
    parents = dict(one[0].parents)
    return any(
        path in parents and parents[path] != option
        for path, option in (*two[0].parents, (two[0].path, two[1]))
    )


def _drawn(space: Space, chosen: tuple[Choice, ...]) -> Variant:
    values = {path: option for dimension, _ in chosen for path, option in dimension.parents}
    values |= {dimension.path: value for dimension, value in chosen}
    tree = space.combine(values)
    drawn = tuple((dimension.path, label(value)) for dimension, value in chosen)
    try:
        return Variant("trial", space.trial(tree), drawn)
    except BadInput as error:
        raise BadInput(_noted(str(error), drawn)) from None


def locate_error(space: Space, variant: Variant, text: str) -> str:
    """A refusal by where its variant stands: a trial's own keys become a control's."""
    where = variant.where
    text = text if text.startswith("`trial") else f"`{where}` cannot be trained: {text}"
    if where != "trial":
        control = where.partition(".")[2]
        return f"{text.replace('`trial.', f'`{where}.')} {space.removal_hint(control)}"
    return _noted(text, variant.drawn)


def _noted(text: str, drawn: Sequence[tuple[str, Any]]) -> str:
    if not drawn:
        return text
    return (
        f"{text.removesuffix('.')} (as drawn from"
        f" {' and '.join(f'`{path}`: {value}' for path, value in drawn)})."
    )


def _key(config: TrialConfig, images: bool) -> str:
    """Equal for configurations that are refused alike; `images` are what a population cuts, which
    takes a while."""
    if images and config.population is not None:
        cut = config.population.model_dump_json(
            include={"target", "tasks", "formulation", "holdout_fraction", "validation_policy"}
        )
        return f"{cut} {config.architecture} {config.backbone}"
    return config.model_dump_json(exclude=_ALONE)


class _Builder:
    """Builds each network once, without its numbers where that goes: for names and shapes alone."""

    def __init__(self) -> None:
        self._built: dict[tuple[str, ...], MultiTaskModel] = {}

    def __call__(
        self,
        architecture: Model,
        backbone: Model,
        tasks: Sequence[TaskCard],
        shape: tuple[int, int, int],
    ) -> MultiTaskModel:
        import torch

        from mtsearch.models import build_model

        key = (
            type(architecture).__name__,
            *(part.model_dump_json() for part in (architecture, backbone, *tasks)),
        )
        if key not in self._built:
            with warnings.catch_warnings(
                action="ignore"
            ):  # weights that are loaded onto no memory are said to be so
                try:
                    with torch.device("meta"):
                        self._built[key] = build_model(architecture, backbone, tasks, shape)
                except BadInput:
                    raise
                except (
                    Exception
                ):  # some constructors compute with numbers, which the meta device has not
                    self._built[key] = build_model(architecture, backbone, tasks, shape)
        return self._built[key]


@contextmanager
def _borrowed_random() -> Iterator[None]:
    import torch

    with torch.random.fork_rng(devices=[]):
        yield
