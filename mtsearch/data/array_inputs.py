"""Inputs that are arrays: how they are made from the columns of a table or from array files, as
plain values that the manifest of a store and the card of an export keep."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtsearch.config.errors import BadInput, nearest
from mtsearch.data.columns import Cells, Columns

LARGEST = float(np.finfo(np.float32).max)
_TRUTH = {"false": 0.0, "true": 1.0}
_SHOWN = 5  # columns or values in a message


@dataclass(frozen=True)
class ArrayInputs:
    """How the inputs of a dataset of arrays are made.

    Attributes:
        shape: of one example: (features,), (channels, length) or (channels, height, width).
        columns: columns of numbers, the first features.
        categories: by column of texts, its values. Each of them is a feature that is 1 where the
            cell has this value, else 0.
        fill: the value of each feature where a cell is missing; empty if no cell may be missing.
        path: column of a table that names the file of each example.
    """

    shape: tuple[int, ...]
    columns: tuple[str, ...] = ()
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    fill: tuple[float, ...] = ()
    path: str | None = None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape (channels, height, width) of an example in a network: a feature or a channel of
        a sequence is a channel."""
        channels, *sides = self.shape
        height, width = [1, 1, *sides][-2:]
        return channels, height, width

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the features that come from columns."""
        values = [f"{name}={value}" for name, known in self.categories.items() for value in known]
        return (*self.columns, *values)

    def as_dict(self) -> dict[str, Any]:
        """The attributes as plain values, for JSON."""
        return {
            "shape": list(self.shape),
            "columns": list(self.columns),
            "categories": {name: list(known) for name, known in self.categories.items()},
            "fill": list(self.fill),
            "path": self.path,
        }

    @classmethod
    def from_dict(cls, entry: Any) -> ArrayInputs:
        """Read what `as_dict` returned. Raises ValueError, KeyError or TypeError for others."""
        found = cls(
            tuple(int(side) for side in entry["shape"]),
            tuple(str(name) for name in entry["columns"]),
            {str(k): tuple(map(str, known)) for k, known in entry["categories"].items()},
            tuple(float(value) for value in entry["fill"]),
            entry["path"],
        )
        named = len(found.features)
        if not 1 <= len(found.shape) <= 3 or min(found.shape) < 1:
            raise ValueError(f"shape {found.shape}")
        if (named and found.shape != (named,)) or len(found.fill) not in (0, named):
            raise ValueError(f"{named} features for shape {found.shape}")
        return found

    def vectors(self, table: Columns) -> tuple[NDArray[np.float64], dict[int, list[str]]]:
        """The features of each row, with NaN where a cell is missing, and what is wrong by place.

        Returns:
            (rows, features) float64, and for the places of rows with unusable cells sentences.

        Raises:
            BadInput: the table lacks a column, or a column of numbers contains texts.
        """
        wrong: dict[int, list[str]] = {}
        for name in (*self.columns, *self.categories):
            if name not in table.cells:
                raise BadInput(
                    f"{table.where} has no column `{name}`. {nearest(name, table.cells)}"
                )
        parts = [_numbers(name, table, wrong)[:, None] for name in self.columns]
        parts += [_one_hot(name, known, table, wrong) for name, known in self.categories.items()]
        return np.concatenate(parts, 1), wrong


def _numbers(name: str, table: Columns, wrong: dict[int, list[str]]) -> NDArray[np.float64]:
    cells = table.cells[name]
    values = cells if isinstance(cells, np.ndarray) else _parsed(name, cells, table, wrong)
    for place in np.flatnonzero(~np.isnan(values) & ~(np.abs(values) <= LARGEST)).tolist():
        wrong.setdefault(place, []).append(
            f"Row {table.numbers[place]} of {table.where} should have a finite number of at most"
            f" 3.4e38 in `{name}`. Found {values[place]}."
        )
    return values


def _parsed(
    name: str, cells: Sequence[str], table: Columns, wrong: dict[int, list[str]]
) -> NDArray[np.float64]:
    values = np.empty(len(cells))
    bad = []
    for place, value in enumerate(numbers_in(cells)):
        values[place] = math.nan if value is None else value
        if value is None:
            bad.append(place)
    filled = sum(1 for cell in cells if cell)
    if 2 * len(bad) > filled:
        texts = sorted({cells[place] for place in bad})
        shown = ", ".join(repr(text) for text in texts[:_SHOWN])
        raise BadInput(
            f"The column `{name}` of {table.where} contains texts ({shown}"
            f"{', ...' if len(texts) > _SHOWN else ''}), of which {len(texts):,} differ. Name them"
            f" in the data card as `categories: {{{name}: [...]}}`, or list the `columns` of"
            " numbers to use."
        )
    for place in bad:
        wrong.setdefault(place, []).append(
            f"Row {table.numbers[place]} of {table.where} should have a number in `{name}`, or"
            f" nothing. Found {cells[place]!r}."
        )
    return values


def numbers_in(cells: Sequence[str]) -> list[float | None]:
    """The numbers in the cells of a column, as `number_in`. If all filled cells are true or false,
    in any case, they are 1 and 0."""
    words = {cell.lower() for cell in cells if cell}
    if words and words <= set(_TRUTH):
        return [_TRUTH[cell.lower()] if cell else math.nan for cell in cells]
    return [number_in(cell) for cell in cells]


def number_in(cell: str) -> float | None:
    """The number in a cell, NaN in an empty one, None in one that is no number."""
    if not cell:
        return math.nan
    try:
        value = math.nan if "_" in cell else float(cell)  # Python reads 1_0 as 10
    except ValueError:
        return None
    return None if math.isnan(value) else value


def _one_hot(
    name: str, known: Sequence[str], table: Columns, wrong: dict[int, list[str]]
) -> NDArray[np.float64]:
    places = {value: number for number, value in enumerate(known)}
    values = np.zeros((len(table), len(known)))
    for row, text in enumerate(table.texts(name)):
        if not text:
            values[row] = math.nan
        elif text in places:
            values[row, places[text]] = 1
        else:
            wrong.setdefault(row, []).append(
                f"Row {table.numbers[row]} of {table.where} has the unknown value {text!r} of"
                f" `{name}`. {nearest(text, known)}"
            )
    return values


def is_numeric(cells: Cells) -> bool:
    """Whether all filled cells of a column are finite numbers, and there is one."""
    if isinstance(cells, np.ndarray):
        return bool(np.isfinite(cells[~np.isnan(cells)]).all()) and not np.isnan(cells).all()
    found = numbers_in([cell for cell in cells if cell])
    return bool(found) and all(value is not None and math.isfinite(value) for value in found)
