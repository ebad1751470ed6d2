"""Trials that begin with the weights of another trial, their parent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from mtsearch.config.base import Model

_SEEDS = 2**32  # `trial.seed` is below


class LineageConfig(Model):
    """The parent of a trial. Where its checkpoint is missing, it is trained again."""

    config: dict[str, Any] = Field(
        description="the configuration of the parent, with that of its own parent if it has one"
    )
    point: int | None = Field(
        None, ge=0, description="the point of the parent, where its training yields several"
    )
    trial: str | None = Field(
        None, description="the name of the parent in its run; it changes no numbers"
    )


def parent_of(config: Mapping[str, Any]) -> str | None:
    """The name of the trial or point of the run with whose weights a trial begins; None where it
    has no parent in the run."""
    start = config.get("start")
    found = start.get("trial") if isinstance(start, Mapping) else None
    return None if found is None else str(found)


def ancestors(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The configurations of the parent of a trial, of the parent's parent and so on."""
    found: list[dict[str, Any]] = []
    while isinstance(start := config.get("start"), Mapping):
        config = start["config"]
        found.append(dict(config))
    return found


def with_seed_offset(config: Mapping[str, Any], number: int) -> dict[str, Any]:
    """The configuration of repeat `number` of a trial: its seed and those of its lineage are larger
    by the number, and its parent is the parent's repeat of this number."""
    seed = (int(config.get("seed", 0)) + number) % _SEEDS
    changed = {**config, "seed": seed}
    start = config.get("start")
    if isinstance(start, Mapping):
        name = start.get("trial")
        changed["start"] = {
            **start,
            "config": with_seed_offset(start["config"], number),
            **({} if name is None else {"trial": repeat_name(str(name), number)}),
        }
    return changed


def repeat_name(name: str, number: int) -> str:
    """The name of a repeat of a trial, or of the same point of the repeat."""
    trial, at, point = name.partition("@")
    return f"{trial}.s{number}{at}{point}"
