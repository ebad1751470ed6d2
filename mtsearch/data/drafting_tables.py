"""Drafts of data cards for tables without images: which columns are labels, which are inputs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mtsearch.config.errors import BadInput, nearest
from mtsearch.data.array_inputs import is_numeric
from mtsearch.data.columns import Columns, read_columns
from mtsearch.data.drafting import Draft, split_column, task_of

LABELS = re.compile(r"(target|label|class|y)(s|es)?([_ .-]?\d+)?", re.IGNORECASE)
KEYS = ("id", "index", "key", "row", "unnamed: 0", "")
MAX_CATEGORIES = 50  # different texts of a column that becomes inputs


def draft_vectors(path: Path, tasks: Sequence[str] = ()) -> Draft:
    """Draft the card of a table whose columns are inputs and labels.

    Args:
        path: a CSV or Parquet file.
        tasks: the columns of the labels; by default those that are called target, label, class or
            y, with a number or without, else the last column.

    Raises:
        BadInput: a column is unknown, or no column can be a task or an input.
    """
    where = f"{path.name} in {path.parent}"
    table = read_columns(path, where)
    notes: list[str] = []
    split = split_column({name: table.texts(name) for name in table.cells})
    if split is not None:
        notes.append(f"{split}: the splits")
    labels = _labels(table, tasks, split, notes)
    found = [task for name in labels if (task := task_of(name, table.texts(name), notes))]
    if not found:
        raise BadInput(
            f"No column of {where} can be a task. Found: {'; '.join(notes)}. Name the columns of"
            " the labels as `tasks=[A,B]`."
        )
    rest = [name for name in table.cells if name and name not in (*labels, split)]
    numbers, categories, missing = _inputs(table, rest, notes)
    if not numbers and not categories:
        raise BadInput(f"No column of {where} can be an input. Found: {'; '.join(notes)}.")
    source: dict[str, Any] = {"kind": "vectors", "file": path.name, "columns": numbers}
    if categories:
        source["categories"] = categories
    if missing:
        source["missing"] = "mean"
    if split is not None:
        source["split"] = split
    if split is None or "test" not in map(str.lower, table.texts(split)):
        source["test_fraction"] = 0.2
    name = re.sub(r"[^\w.-]+", "_", path.stem).strip("_.-") or "data"
    card = {"name": name, "root": str(path.parent), "source": source, "tasks": found}
    features = len(numbers) + sum(map(len, categories.values()))
    return Draft(card, len(table), notes, (features, 1, 1))


def _labels(
    table: Columns, tasks: Sequence[str], split: str | None, notes: list[str]
) -> Sequence[str]:
    for name in tasks:
        if name not in table.cells:
            raise BadInput(
                f"`tasks` names `{name}`, which is no column of {table.where}."
                f" {nearest(name, table.cells)}"
            )
    if tasks:
        return tasks
    columns = [name for name in table.cells if name and name != split]
    found = [name for name in columns if LABELS.fullmatch(name)]
    if not found and columns:
        found = columns[-1:]
        notes.append(
            f"{found[0]}: the label, because it is the last column; name others as `tasks=[A,B]`"
        )
    return found


def _inputs(
    table: Columns, columns: Sequence[str], notes: list[str]
) -> tuple[list[str], dict[str, list[str]], bool]:
    """The columns of numbers, the values of those of texts, and whether cells are missing."""
    numbers: list[str] = []
    categories: dict[str, list[str]] = {}
    lacking: list[str] = []
    for name in columns:
        texts = table.texts(name)
        values = {text for text in texts if text}
        if len(values) < 2:
            notes.append(f"{name}: left out, because all its cells are equal")
            continue
        if is_numeric(table.cells[name]):
            if name.lower() in KEYS or _counts(texts):
                notes.append(f"{name}: left out, because it numbers the rows")
                continue
            numbers.append(name)
        elif len(values) <= min(MAX_CATEGORIES, len(texts) // 2):
            categories[name] = sorted(values)
            notes.append(f"{name}: {len(values)} categories, each an input of 0 or 1")
        else:
            notes.append(f"{name}: left out, because it has {len(values):,} different texts")
            continue
        if "" in texts:
            lacking.append(name)
    notes.append(f"inputs: {len(numbers)} columns of numbers")
    if lacking:
        notes.append(
            f"missing: cells of {', '.join(lacking[:5])}{', ...' if len(lacking) > 5 else ''}"
            " become the mean; `missing: zero` makes them 0"
        )
    return numbers, categories, bool(lacking)


def _counts(texts: Sequence[str]) -> bool:
    """Whether a column contains consecutive whole numbers, in order."""
    if len(texts) < 3 or not all(text.isdecimal() and len(text) < 16 for text in texts):
        return False
    return bool((np.diff(np.array(texts, np.int64)) == 1).all())
