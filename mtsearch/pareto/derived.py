"""Metrics that the driver of a run computes from those that a trial reports: Delta-m against the
control, and the user's expressions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mtsearch.config.expressions import Expression, Undefined, parse_expression
from mtsearch.config.metrics import DELTA_M, LATENCY
from mtsearch.config.schema import SpaceConfig
from mtsearch.pareto.columns import Kinds, number
from mtsearch.pareto.delta import delta_m, measures_of


class DerivedMetrics:
    """Computes the objectives and constraints that trials do not report themselves.

    Args:
        config: the space, with the objectives, the constraints and the control.
        kinds: the kind of each task.
    """

    def __init__(self, config: SpaceConfig, kinds: Kinds | None = None) -> None:
        self._kinds = kinds
        self._expressions: dict[str, Expression] = {
            entry.metric: parse_expression(entry.expression)
            for entry in (*config.objectives, *config.constraints)
            if entry.expression is not None
        }
        self.control = config.delta_m if DELTA_M in config.metrics else None
        self._against: Mapping[str, Any] | None = None

    @property
    def waits(self) -> bool:
        """Whether a metric is missing until the control has finished."""
        return self.control is not None and self._against is None

    def compare_with(self, metrics: Mapping[str, Any]) -> None:
        """Set the metrics of the finished control."""
        self._against = dict(metrics)

    def of(self, metrics: Mapping[str, Any]) -> dict[str, float]:
        """The derived metrics of a report; those that have no finite value are left out."""
        return self._compute(metrics)[0]

    def end(
        self,
        report: Mapping[str, Any],
        measured: Mapping[str, float] | None = None,
        points: Sequence[Mapping[str, Any]] = (),
    ) -> dict[str, Any]:
        """What the end of a trial adds to its selected report, where there is anything.

        Args:
            report: the selected one.
            measured: metrics of the final network that are measured on a clock.
            points: the `preference` and `metrics` of each network of a trial with several.

        Returns:
            ``measured`` and ``points``, each with the metrics that are derived from it. The points
            have the latency of the trial, as they have one form.
        """
        found: dict[str, Any] = {}
        if measured:
            found["measured"] = {**measured, **self.of({**report, **measured})}
        if points:
            clock = {LATENCY: report[LATENCY]} if LATENCY in report else {}
            clock |= measured or {}
            several = []
            for point in points:
                metrics = {**clock, **point["metrics"]}
                several.append({**point, "metrics": {**metrics, **self.of(metrics)}})
            found["points"] = several
        return found

    def problem(self, metric: str, metrics: Mapping[str, Any]) -> str | None:
        """Why a derived metric has no value; None where it has one or is no derived metric."""
        return self._compute(metrics)[1].get(metric)

    def needs_control(self, metric: str) -> bool:
        """Whether a metric compares with the control."""
        expression = self._expressions.get(metric)
        return metric == DELTA_M or (expression is not None and DELTA_M in expression.names)

    def _compute(self, metrics: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, str]]:
        found: dict[str, float] = {}
        problems: dict[str, str] = {}
        if self.control is not None and self._against is not None:
            measures = measures_of([dict(self._against)], "val", self._kinds)
            gain = delta_m(metrics, self._against, measures)
            if math.isfinite(gain):
                found[DELTA_M] = gain
            else:
                problems[DELTA_M] = (
                    f"a figure of control {self.control} is 0, or one of the trial is missing"
                )
        elif self.control is not None:
            problems[DELTA_M] = f"control {self.control} has not finished"
        for name, expression in self._expressions.items():
            values = {of: found.get(of, number(metrics, of)) for of in expression.names}
            missing = [of for of, value in values.items() if not math.isfinite(value)]
            if missing:
                problems[name] = f"`{missing[0]}` is missing in the report"
                continue
            try:
                found[name] = expression(values)
            except Undefined as error:
                problems[name] = str(error)
        return found, problems
