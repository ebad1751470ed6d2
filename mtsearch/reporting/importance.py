"""Which settings explain the objectives: permutation importance of a random forest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mtsearch.pareto.columns import Row
from mtsearch.pareto.constraints import Floats
from mtsearch.pareto.dominance import objective_values
from mtsearch.pareto.result import SearchResult

MIN_TRIALS = 20  # below, a forest explains noise
MAX_TRIALS = 500  # more take seconds and change little
TREES, SHUFFLES = 60, 3
_WIDE = 15  # a positive setting whose values span this factor counts on a logarithmic scale


@dataclass(frozen=True)
class Importance:
    """The importance of the settings that a search varied.

    Attributes:
        settings: by falling mean importance.
        explained: per objective the share of its variance that the forest explains on trials that
            a tree has not seen (out-of-bag R^2).
        shares: per objective the importance of each setting; they sum to 1. None where the forest
            explains nothing.
    """

    settings: list[str]
    explained: list[float]
    shares: list[list[float] | None]


def importance(result: SearchResult) -> Importance | None:
    """The importance of each varied setting for each objective, over the finished trials (at most
    `MAX_TRIALS`, at equal distances): how much the squared error of a random forest grows when the
    setting's values are shuffled (Breiman 2001, Machine Learning 45, section 10).

    Settings that depend on each other share their importance. None with fewer than `MIN_TRIALS`
    trials or two settings.
    """
    rows = result.counted
    if len(rows) < MIN_TRIALS or len(result.varied) < 2:
        return None
    from sklearn.ensemble import RandomForestRegressor  # takes a second to import

    if len(rows) > MAX_TRIALS:
        rows = [rows[i] for i in np.linspace(0, len(rows) - 1, MAX_TRIALS).round().astype(int)]
    names = list(result.varied)
    features = np.stack([_feature(rows, name) for name in names], axis=1)
    values = objective_values(rows, result.objectives)
    explained, shares = [], []
    for column in values.T:
        forest = RandomForestRegressor(TREES, oob_score=True, min_samples_leaf=2, random_state=0)
        forest.fit(features, column)
        score = float(forest.oob_score_)
        explained.append(max(score, 0.0))
        found = _growth(forest, features, column) if score > 0 else np.zeros(len(names))
        total = float(found.sum())
        shares.append([float(v) / total for v in found] if total > 0 else None)
    means = [
        math.fsum(share[i] for share in shares if share is not None) for i in range(len(names))
    ]
    order = sorted(range(len(names)), key=lambda i: -means[i])
    return Importance(
        [names[i] for i in order],
        explained,
        [None if share is None else [share[i] for i in order] for share in shares],
    )


def importance_table(result: SearchResult, labels: Sequence[str]) -> dict[str, Any] | None:
    """Heads and rows of the table, in percent; `labels` are those of the objectives."""
    found = importance(result)
    if found is None:
        return None

    def line(name: str, values: Sequence[float | None]) -> list[str]:
        return [name, *("–" if v is None else f"{100 * v:.0f} %" for v in values)]

    rows = [
        line(name.removeprefix("trial."), [None if s is None else s[i] for s in found.shares])
        for i, name in enumerate(found.settings)
    ]
    explained = line("variance explained on unseen trials", found.explained)
    return {"heads": ["setting", *labels], "rows": [*rows, explained]}


def _feature(rows: Sequence[Row], name: str) -> Floats:
    """A setting as numbers: itself or its logarithm, else the index of its text. A missing number
    lies below all others."""
    cells = [row.get(name) for row in rows]
    given = [c for c in cells if c is not None]
    if all(isinstance(c, int | float) and not isinstance(c, bool) for c in given):
        low, high = min(given, default=0.0), max(given, default=1.0)
        log = low > 0 and high / low > _WIDE
        scaled = [math.nan if c is None else math.log(c) if log else float(c) for c in cells]
        column = np.array(scaled)
        bottom = np.nanmin(column) if given else 0.0
        span = np.nanmax(column) - bottom if given else 1.0
        return np.where(np.isnan(column), bottom - max(span, 1.0), column)
    words = sorted({str(c) for c in cells})
    return np.array([float(words.index(str(c))) for c in cells])


def _growth(forest: Any, features: Floats, values: Floats) -> Floats:
    """By how much the mean squared error grows when a column is shuffled, at least 0."""
    draw = np.random.default_rng(0)
    base = float(((forest.predict(features) - values) ** 2).mean())
    found = np.zeros(features.shape[1])
    for i in range(features.shape[1]):
        for _ in range(SHUFFLES):
            shuffled = features.copy()
            shuffled[:, i] = draw.permutation(shuffled[:, i])
            found[i] += float(((forest.predict(shuffled) - values) ** 2).mean()) - base
    return np.maximum(found / SHUFFLES, 0.0)
