"""Objectives, constraints, and how latency is measured."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Literal

from pydantic import Field, field_validator, model_validator

from mtsearch.config.base import Model
from mtsearch.config.errors import BadInput, format_value, nearest
from mtsearch.config.expressions import parse_expression

HEAD_COLUMNS = (
    "trial",
    "kind",
    "control",
    "state",
    "reason",
    "attempts",
    "front",
    "knee",
    "dataset",
    "seed",
    "seeds",
    "confirmed",
    "not_better_than",
    "epoch",
    "delta_m",
    "test/delta_m",
)
"""The first columns of tables, in order."""

RESERVED = {*HEAD_COLUMNS, "report", "phase", "lr", "command", "process", "point", "repeat"} | {
    "min",
    "max",
}
"""Names that no expression may have: columns of tables and functions of expressions."""
"""Names that tables, reports and expressions use themselves."""


class MetricEntry(Model):
    """What an objective or a constraint is about: a metric, or an `expression` over metrics with a
    `name`, which then is its metric."""

    metric: str = ""
    name: str | None = Field(None, description="of the expression, and of its column in tables")
    expression: str | None = Field(
        None,
        max_length=2000,
        description=(
            "metrics and numbers joined by + - * / ( ), min and max, such as 0.7*val/a/error +"
            " 0.3*val/b/error"
        ),
    )

    @model_validator(mode="before")
    @classmethod
    def _named_expression(cls, data: object) -> object:
        if not isinstance(data, dict) or data.get("expression") is None:
            if isinstance(data, dict) and data.get("name") is not None:
                raise ValueError("has a `name` without an `expression`. Give it a `metric` alone")
            if isinstance(data, dict) and not data.get("metric"):
                raise ValueError("should have a `metric`, or a `name` with an `expression`")
            return data
        name = data.get("name")
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z]\w{0,39}", name):
            raise ValueError(
                "should give its `expression` a `name` of letters, digits and `_`. Found"
                f" {format_value(name)}"
            )
        if name in RESERVED:
            raise ValueError(f"has a `name` that is a column of every table: {name}")
        if data.get("metric") not in (None, "", name):
            raise ValueError("should have a `metric` or an `expression`. Found both")
        return {**data, "metric": name}

    @field_validator("expression")
    @classmethod
    def _parses(cls, text: str | None) -> str | None:
        if text is not None:
            parse_expression(text)
        return text


class Objective(MetricEntry):
    """A metric that the search optimises; the front has one axis for each objective."""

    goal: Literal["min", "max"]
    reference: float | None = None  # the hypervolume's reference value


class Constraint(MetricEntry):
    """A bound on a metric: at most `max`, at least `min`."""

    max: float | None = None
    min: float | None = None

    @model_validator(mode="after")
    def _bound(self) -> Constraint:
        if (self.max is None) == (self.min is None):
            raise ValueError(
                "should have exactly one of `min` and `max`. Found"
                f" {'none' if self.max is None else 'both'}"
            )
        return self


class Latency(Model):
    """How `model/latency` is measured, where an objective or a constraint names it: the compacted
    network on the CPU of the trial's process, once per trial."""

    batch_size: int = Field(1, gt=0, description="examples that the network reads at once")
    threads: int = Field(1, gt=0, description="CPU threads of torch")


def check_metrics(
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint],
    known: Collection[str],
    dataset: str,
) -> None:
    """Compare what objectives, constraints and their expressions name with the metrics that trials
    on a dataset report.

    Raises:
        BadInput: one of them names another metric, or two expressions have one name.
    """
    named = {f"objectives[{i}]": entry for i, entry in enumerate(objectives)}
    found: dict[str, str] = {}
    entries: dict[str, MetricEntry] = {
        **named,
        **{f"constraints[{i}]": entry for i, entry in enumerate(constraints)},
    }
    for entry in entries.values():
        if entry.expression is None:
            continue
        if found.setdefault(entry.metric, entry.expression) != entry.expression:
            raise BadInput(
                f"`{entry.metric}` names two expressions: `{found[entry.metric]}` and"
                f" `{entry.expression}`. Give one of them another name."
            )
        for metric in parse_expression(entry.expression).names:
            if metric not in known:
                raise BadInput(
                    f"the expression of `{entry.metric}` names a metric that no trial on {dataset}"
                    f" reports: `{metric}`. {nearest(metric, known)} Spaces around `/` make it a"
                    " division."
                )
    for where, entry in entries.items():
        if entry.metric not in known and entry.metric not in found:
            raise BadInput(
                f"`{where}` names a metric that no trial on {dataset} reports: `{entry.metric}`."
                f" {nearest(entry.metric, known)}"
            )
