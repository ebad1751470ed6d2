"""Checks of a search or training before it starts: configurations that no sampler, machine or model
builder supports are refused with one sentence."""

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

_INDEPENDENT = {
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
"""The keys of a trial that are valid with any values of the others."""
Choice = tuple[Dimension, Any]


def check_trials(
    space: Space,
    data: DataConfig,
    card: DatasetCard,
    dataset: Dataset | None = None,
    only: str | None = None,
) -> None:
    """Check every variant of a trial against the dataset, as the trial does before its first step.

    Args:
        space: the search space.
        data: the data configuration.
        card: of the dataset.
        dataset: the dataset, of which only the labels are used; None checks what needs no labels.
        only: the one configuration to train, ``trial`` for the defaults or ``controls.NAME``; None
            for a search.

    Raises:
        BadInput: a variant cannot be trained.
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
            with _preserved_random_state():
                check_trial(variant.config, data, card, dataset, build)
        except BadInput as error:
            raise BadInput(locate_error(space, variant, str(error))) from None
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise BadInput(
                locate_error(
                    space,
                    variant,
                    f"it gives no network for {card.name}: {type(error).__name__}: {reason}.",
                )
            ) from error


@dataclass(frozen=True)
class Variant:
    """A possible configuration, with its path in the space (`where`) and the options of dimensions
    that it is drawn with."""

    where: str
    config: TrialConfig
    drawn: tuple[tuple[str, Any], ...] = ()


def variants(space: Space, pairs: bool = True) -> Iterator[Variant]:
    """The defaults, the controls, each end of each dimension, and with `pairs` each pair of ends of
    any two dimensions that may conflict; all other settings have typical values.

    Raises:
        BadInput: a variant is not a valid configuration.
    """
    yield Variant("trial", space.trial())
    for name, tree in space.controls.items():
        yield Variant(f"controls.{name}", space.trial(tree))
    named = [(dimension, value) for dimension in space.dimensions for value in bounds(dimension)]
    for chosen in named:
        yield _drawn(space, (chosen,))
    if not pairs:
        return
    interacting = [
        (dimension, value)
        for dimension, value in named
        if dimension.path.split(".")[1].partition("@")[0] not in _INDEPENDENT
    ]
    for one, two in itertools.combinations(interacting, 2):
        if one[0].path != two[0].path and not _exclude(one, two) and not _exclude(two, one):
            yield _drawn(space, (one, two))


def _exclude(one: Choice, two: Choice) -> bool:
    """Whether the second dimension, or a common parent, exists only if the first one has another
    value."""
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
        raise BadInput(_with_choices(str(error), drawn)) from None


def locate_error(space: Space, variant: Variant, text: str) -> str:
    """An error message with the path of its variant: keys of a trial become keys of the control."""
    where = variant.where
    text = text if text.startswith("`trial") else f"`{where}` cannot be trained: {text}"
    if where != "trial":
        control = where.partition(".")[2]
        return f"{text.replace('`trial.', f'`{where}.')} {space.removal_hint(control)}"
    return _with_choices(text, variant.drawn)


def _with_choices(text: str, drawn: Sequence[tuple[str, Any]]) -> str:
    if not drawn:
        return text
    return (
        f"{text.removesuffix('.')} (as drawn from"
        f" {' and '.join(f'`{path}`: {value}' for path, value in drawn)})."
    )


def _key(config: TrialConfig, images: bool) -> str:
    """Equal for configurations that pass or fail together. `images` includes the split of a
    population's data, which takes long to check."""
    if images and config.population is not None:
        cut = config.population.model_dump_json(
            include={"target", "tasks", "formulation", "holdout_fraction", "validation_policy"}
        )
        return f"{cut} {config.architecture} {config.backbone}"
    return config.model_dump_json(exclude=_INDEPENDENT)


class _Builder:
    """Builds each network once, without weights if possible: only names and shapes are needed."""

    def __init__(self) -> None:
        self._built: dict[tuple[str, ...], MultiTaskModel] = {}

    def __call__(
        self,
        architecture: Model,
        backbone: Model,
        tasks: Sequence[TaskCard],
        shape: tuple[int, ...],
    ) -> MultiTaskModel:
        import torch

        from mtsearch.models import build_model

        key = (
            type(architecture).__name__,
            *(part.model_dump_json() for part in (architecture, backbone, *tasks)),
        )
        if key not in self._built:
            # Loading weights into the meta device warns.
            with warnings.catch_warnings(action="ignore"):
                try:
                    with torch.device("meta"):
                        self._built[key] = build_model(architecture, backbone, tasks, shape)
                except BadInput:
                    raise
                # Some constructors compute with values, which the meta device does not have.
                except Exception:
                    self._built[key] = build_model(architecture, backbone, tasks, shape)
        return self._built[key]


@contextmanager
def _preserved_random_state() -> Iterator[None]:
    import torch

    with torch.random.fork_rng(devices=[]):
        yield
