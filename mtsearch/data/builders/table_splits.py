"""Splits that a column of a table names, or that are drawn."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mtsearch.config.errors import BadInput
from mtsearch.data.builders.base import SplitSpec
from mtsearch.data.splits import split_indices
from mtsearch.data.tables import Rows

_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def named_parts(
    rows: Rows, column: str | None, where: str, wrong: list[str]
) -> dict[str, list[int]]:
    """The places of the rows of each split that a column names; all are in train without one.
    Mistakes are added to `wrong`."""
    parts: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    for place, (number, row) in enumerate(rows.items()):
        word = row[column].lower() if column else "train"
        if word not in _SPLITS:
            wrong.append(
                f"Row {number} of {where} should be of train, val or test. Found"
                f" {row[str(column)]!r}."
            )
        else:
            parts[_SPLITS[word]].append(place)
    return parts


def complete_splits(
    parts: Mapping[str, list[int]],
    spec: SplitSpec,
    test_fraction: float | None,
    order_seed: int,
    where: str,
    owner: str,
) -> dict[str, NDArray[np.int64]]:
    """Places by split, in which missing splits are drawn.

    Args:
        parts: the places by split.
        spec: how the validation examples are drawn from those for training.
        test_fraction: the share of test examples; None if the table must name them.
        order_seed: the seed by which test examples are drawn.
        where: the table in messages.
        owner: the key of the card in which `test_fraction` stands, in messages.

    Raises:
        BadInput: a split is empty.
    """
    index = {name: np.array(places, np.int64) for name, places in parts.items()}
    count = sum(map(len, index.values()))
    if not len(index["test"]):
        if test_fraction is None:
            raise BadInput(
                f"{where} names no test examples; add `test_fraction` to `{owner}` in the data"
                " card, or name a column with `split`."
            )
        index["train"], index["test"] = _divide(index["train"], test_fraction, order_seed)
    if not len(index["val"]):
        index["train"], index["val"] = _divide(index["train"], spec.val_fraction, spec.seed)
    if lacking := [name for name, places in index.items() if not len(places)]:
        raise BadInput(
            f"The {count} row(s) of {where} leave no examples for {lacking[0]}; add some."
        )
    return index


def _divide(
    places: NDArray[np.int64], fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rest, part = split_indices(places, fraction, seed)
    return places[rest], places[part]
