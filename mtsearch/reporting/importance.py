"""Which settings explain the objectives: permutation importance of a random forest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mtsearch.pareto.columns import Row
from mtsearch.pareto.constraints import Floats
from mtsearch.pareto.dominance import objective_values
from mtsearch.pareto.result import SearchResult

MIN_TRIALS = 20  # below, a forest explains noise
MAX_TRIALS = 500  # more take seconds and change little
TREES, SHUFFLES = 60, 3
DEPENDENT = 6  # settings with a partial dependence, the most important ones
GRID, AVERAGED = 9, 200  # its values of a number, and the trials that it is averaged over
_WIDE = 15  # a positive setting whose values span this factor counts on a logarithmic scale


@dataclass(frozen=True)
class Dependence:
    """The partial dependence of an objective on a setting (Friedman 2001, Annals of Statistics 29,
    section 8.2): the forest's mean prediction over the trials, with this setting at each value.

    Attributes:
        setting: the column.
        objective: the index of the objective.
        values: numbers at equal ranks among those tried, or all texts.
        predictions: one for each value, in the objective's unit.
    """

    setting: str
    objective: int
    values: list[Any]
    predictions: list[float]


@dataclass(frozen=True)
class Importance:
    """The importance of the settings that a search varied.

    Attributes:
        settings: by falling mean importance.
        explained: per objective the share of its variance that the forest explains on trials that
            a tree has not seen (out-of-bag R^2).
        shares: per objective the importance of each setting; they sum to 1. None where the forest
            explains nothing.
        dependence: of the objectives that the forest explains on the most important settings.
    """

    settings: list[str]
    explained: list[float]
    shares: list[list[float] | None]
    dependence: list[Dependence] = field(default_factory=list)


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
    features = np.stack([feature(rows, name) for name in names], axis=1)
    values = objective_values(rows, result.objectives)
    explained, shares, forests = [], [], []
    for column in values.T:
        forest = RandomForestRegressor(TREES, oob_score=True, min_samples_leaf=2, random_state=0)
        forest.fit(features, column)
        score = float(forest.oob_score_)
        explained.append(max(score, 0.0))
        found = _growth(forest, features, column) if score > 0 else np.zeros(len(names))
        total = float(found.sum())
        forests.append(forest)
        shares.append([float(v) / total for v in found] if total > 0 else None)
    means = [
        math.fsum(share[i] for share in shares if share is not None) for i in range(len(names))
    ]
    order = sorted(range(len(names)), key=lambda i: -means[i])
    return Importance(
        [names[i] for i in order],
        explained,
        [None if share is None else [share[i] for i in order] for share in shares],
        [
            _dependence(forests[k], features, rows, names[i], i, k)
            for i in order[:DEPENDENT]
            for k, share in enumerate(shares)
            if share is not None
        ],
    )


def _dependence(
    forest: Any, features: Floats, rows: Sequence[Row], name: str, column: int, objective: int
) -> Dependence:
    """The partial dependence of an objective on the setting in a column of the features."""
    known = [i for i, row in enumerate(rows) if row.get(name) is not None]
    order = sorted(known, key=lambda i: features[i, column])
    distinct = list({features[i, column]: i for i in order}.values())
    if all(isinstance(rows[i][name], int | float) for i in known) and len(distinct) > GRID:
        distinct = [distinct[round(k)] for k in np.linspace(0, len(distinct) - 1, GRID)]
    base = features[np.linspace(0, len(features) - 1, min(AVERAGED, len(features))).astype(int)]
    blocks = np.repeat(base[None], len(distinct), axis=0)
    blocks[:, :, column] = features[distinct, column][:, None]
    found = forest.predict(blocks.reshape(-1, features.shape[1])).reshape(len(distinct), -1)
    values = [rows[i][name] for i in distinct]
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    return Dependence(
        name,
        objective,
        values if numbers else [str(v) for v in values],
        [float(mean) for mean in found.mean(axis=1)],
    )


def importance_table(found: Importance | None, labels: Sequence[str]) -> dict[str, Any] | None:
    """Heads and rows of the table, in percent; `labels` are those of the objectives."""
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


def feature(rows: Sequence[Row], name: str) -> Floats:
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
