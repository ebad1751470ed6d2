"""Which columns a table of some rows shows beside its results: what differs between them, what the
notes speak of, and no more than fit."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from mtsearch.pareto.columns import CONFIGURATION, Row, arranged, label, number, show
from mtsearch.pareto.outcome import Outcome

MEASURES = (
    "model/sparsity_rate",
    "model/compression_rate",
    "model/parameter_sharing",
    "model/params",
    "model/macs",
    "cost/steps",
    "epoch",
)
SETTINGS = 10  # as many settings as a reader can hold beside the results
_CHOICES = (".name", ".mode", ".method")


@dataclass(frozen=True)
class Shown:
    """Columns in the order of the table.

    Attributes:
        measures: figures of the models and their costs.
        settings: configuration columns.
        common: measures and searched settings that are the same in all rows, to be told once.
        left: settings that differ too and found no room.
    """

    measures: list[str]
    settings: list[str]
    common: list[str]
    left: list[str]


def shown(
    found: Outcome, rows: Sequence[Row], results: Sequence[str], room: int = SETTINGS
) -> Shown:
    """The columns for a table of `rows`, controls among them, whose result columns are `results`.

    A measure is shown where it differs; one that the space's notes name in backticks always is, as
    any other metric they name. Of the settings that differ at most `room` are shown: those that the
    notes name, those that the search varied, those that controls alone change; the names of methods
    before their settings, and what fewer rows share before what more share. A setting that some
    rows lack, with one value in the others, is left to the columns of its block that say which rows
    have it. Of a single row there is nothing to compare, so all rows of the run decide.
    """
    compared = rows if len(rows) > 1 else found.rows
    words = _words(found.notes)
    figures = [
        c
        for c in arranged(rows)
        if not c.startswith(CONFIGURATION) and any(math.isfinite(number(row, c)) for row in rows)
    ]
    pinned = [c for c in figures if c in words and c not in results and c not in MEASURES]
    known = [c for c in MEASURES if c in figures and c not in results]
    measures = [c for c in known if c in words or _differs(compared, c)] + pinned

    varied = set(found.varied)
    differing = [
        c for c in arranged(compared) if c.startswith(CONFIGURATION) and _differs(compared, c)
    ]
    told = [c for c in differing if _told(compared, c, differing)]
    ranked = sorted(
        (c for c in differing if c not in told), key=lambda c: _rank(c, compared, words, varied)
    )
    kept = set(ranked[:room])
    common = [c for c in known if c not in measures] + [
        c for c in found.varied if c not in differing and _has(compared, c)
    ]
    return Shown(
        measures, [c for c in ranked if c in kept], common, [c for c in differing if c not in kept]
    )


def remarks(found: Outcome, rows: Sequence[Row], columns: Shown) -> list[str]:
    """What a table says beneath itself of columns that it does not have, one sentence a line."""
    lines = []
    if columns.common and rows:
        facts = [
            f"{_word(c, found)} {show(_common(rows, c), c, found.kinds)}" for c in columns.common
        ]
        lines.append(f"The same in all rows: {', '.join(facts)}.")
    if columns.left:
        lines.append(
            f"The rows differ in {', '.join(c.removeprefix(CONFIGURATION) for c in columns.left)}"
            " too, which `front.csv` holds."
        )
    return lines


def head(column: str, found: Outcome) -> str:
    """What stands above a column."""
    return (
        column.removeprefix(CONFIGURATION)
        if column.startswith(CONFIGURATION)
        else label(column, found.kinds)
    )


def _word(column: str, found: Outcome) -> str:
    return f"`{head(column, found)}`" if column.startswith(CONFIGURATION) else head(column, found)


def _words(notes: str) -> set[str]:
    """What stands in backticks, a setting without its value."""
    return {part.split(":")[0].strip() for part in re.findall(r"`([^`]+)`", notes)}


def _texts(rows: Sequence[Row], column: str) -> list[str]:
    return [show(row.get(column), column) for row in rows]


def _differs(rows: Sequence[Row], column: str) -> bool:
    """Whether readers would see two values; settings that a row does not have count as one, figures
    that it does not have do not."""
    texts = set(_texts(rows, column))
    return len(texts if column.startswith(CONFIGURATION) else texts - {show(None)}) > 1


def _has(rows: Sequence[Row], column: str) -> bool:
    return any(row.get(column) is not None for row in rows)


def _common(rows: Sequence[Row], column: str) -> object:
    return next((row[column] for row in rows if row.get(column) is not None), None)


def _told(rows: Sequence[Row], column: str, differing: Sequence[str]) -> bool:
    """Whether it has one value in all rows that have it at all, and another column of its block
    says which rows these are."""
    block = column.split(".")[1]
    others = [c for c in differing if c != column and c.split(".")[1] == block]
    named = any(
        c.endswith(_CHOICES) and column.startswith(c.rpartition(".")[0] + ".") for c in others
    )
    return _values(rows, column) == 1 and (named or any(_values(rows, c) > 1 for c in others))


def _values(rows: Sequence[Row], column: str) -> int:
    """How many values those rows show that have it."""
    return len(set(_texts(rows, column)) - {show(None)})


def _rank(
    column: str, rows: Sequence[Row], words: set[str], varied: set[str]
) -> tuple[bool, bool, bool, float, str]:
    path = column.removeprefix(CONFIGURATION)
    texts = _texts(rows, column)
    most = max(Counter(texts).values()) / len(texts)
    mentioned = bool({path, column, path.rpartition(".")[2]} & words)
    return not mentioned, column not in varied, not column.endswith(_CHOICES), most, column
