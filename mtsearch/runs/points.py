"""The points of a trial: networks of other preferences or levels of sparsity that one training
yields.

The points of trial `0012` are `0012@00`, `0012@01`, ... Each has its own metrics, checkpoint and
test, and the configuration of a plain trial, with its preference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def point_name(trial: str, index: int) -> str:
    """The name of a point by its index from 0."""
    return f"{trial}@{index:02d}"


def point_config(config: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of the plain network of a point, from that of its trial and the settings of
    the point: its `preference` or its `level` of sparsity."""
    plain = {key: value for key, value in config.items() if key != "pareto_set"}
    preference = settings.get("preference")
    return plain if preference is None else {**plain, "preference": dict(preference)}


def point_text(settings: Mapping[str, Any]) -> str:
    """What distinguishes a point, in words."""
    preference = settings.get("preference")
    if preference is None:
        return f"zero rows {settings['level']:.3g}"
    return ", ".join(f"{task} {weight:.3g}" for task, weight in preference.items())


def point_settings(config: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of `trial` that the row of a point shows beside those of its network; none where
    the settings of the point are empty, as those of a trial are."""
    if not settings:
        return {}
    found = config.get("pareto_set")
    if "level" in settings:
        found = {"name": found} if isinstance(found, str) else dict(found or {})
        found["level"] = settings["level"]
    return {"pareto_set": found}
