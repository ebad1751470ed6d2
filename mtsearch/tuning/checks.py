"""What is refused before anything starts, in one sentence each: what no sampler, machine or model builder can do."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mtsearch.config.base import Model
from mtsearch.config.dimensions import Dimension, default_of, label, resolve
from mtsearch.config.errors import BadInput
from mtsearch.config.schema import TrialConfig
from mtsearch.config.space import Space
from mtsearch.tuning.observers import check_observers
from mtsearch.tuning.slots import bundle, local_nodes, slots

if TYPE_CHECKING:
    from mtsearch.config.cards import DatasetCard

_MODEL = ("trial.architecture", "trial.backbone")  # the keys that the model builder reads


def check_space(space: Space) -> None:
    """Refuse what can be known without the data: the sampler, the controls' names, the devices, the slots of a local cluster."""
    from mtsearch.tuning.study import check_search  # imports Optuna

    check_search(space)
    check_observers(space)
    bundle(space.config)
    for name in space.controls:
        if name.isdigit() or not name.replace("-", "").replace("_", "").isalnum():
            raise BadInput(f"`controls.{name}` should be named by letters, digits, `-` and `_`, not by digits alone. Rename it.")
    if space.config.resources.gpu == 0:
        for where, config in _variants(space, ("trial.device",)):
            if config.device == "cuda":
                raise BadInput(
                    f"`{where}` asks for `device: cuda`, but `resources.gpu` is 0, so no slot has a GPU. Set resources.gpu=1 or a share."
                )
    here = local_nodes()
    if here is not None:
        slots(space.config, here)


def check_models(space: Space, card: DatasetCard) -> None:
    """Build the model of the defaults, of each control and of each option of the choices that the builder reads, without its numbers."""
    built: list[tuple[Model, Model, tuple[tuple[str, float], ...]]] = []
    for where, config in _variants(space, _MODEL):
        parts = (config.architecture, config.backbone, tuple(sorted(config.lr_multipliers.items())))
        if parts not in built:
            built.append(parts)
            _build(where, config, card)


def _variants(space: Space, paths: tuple[str, ...]) -> Iterator[tuple[str, TrialConfig]]:
    """The defaults, the controls, and each option of the choices at or below the given paths, all else at its default."""
    yield "trial", space.trial()
    for name, tree in space.controls.items():
        yield f"controls.{name}", space.trial(tree)
    for target in space.dimensions:
        if target.kind == "choice" and any(target.path == p or target.path.startswith((f"{p}.", f"{p}@")) for p in paths):
            for chosen in target.spec:

                def pick(dimension: Dimension, target: Dimension = target, chosen: Any = chosen) -> Any:
                    if dimension.path == target.path:
                        return chosen
                    on_the_way = (o for o in dimension.spec if target.path.startswith(f"{dimension.path}@{label(o)}."))
                    return next(on_the_way, default_of(dimension)) if dimension.kind == "choice" else default_of(dimension)

                yield target.path, space.trial(resolve(copy.deepcopy(space.tree), "trial", pick))


def _build(where: str, config: TrialConfig, card: DatasetCard) -> None:
    import torch

    from mtsearch.models import build_model
    from mtsearch.training.checks import check_multipliers

    def build() -> None:
        check_multipliers(config, build_model(config.architecture, config.backbone, card.tasks, card.shape))

    try:
        with warnings.catch_warnings(action="ignore"):  # weights that are loaded onto no memory are said to be so
            try:
                with torch.device("meta"):
                    build()
            except BadInput:
                raise
            except Exception:  # some constructors compute with numbers, which the meta device has not
                with torch.random.fork_rng(devices=[]):
                    build()
    except BadInput as error:
        raise BadInput(f"`{where}` makes no model: {error}") from None
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise BadInput(f"`{where}` makes no model for {card.name}: {type(error).__name__}: {reason}.") from error
