"""The points of a trial: networks of other preferences that one training yields.

The points of trial `0012` are `0012@00`, `0012@01`, ... Each has its own metrics, checkpoint and
test, and the configuration of a plain trial with its preference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def point_name(trial: str, index: int) -> str:
    """The name of a point by its index from 0."""
    return f"{trial}@{index:02d}"


def point_config(config: Mapping[str, Any], preference: Mapping[str, float]) -> dict[str, Any]:
    """The configuration of the plain network of a point, from that of its trial."""
    plain = {key: value for key, value in config.items() if key != "pareto_set"}
    return {**plain, "preference": dict(preference)}
