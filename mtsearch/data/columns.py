"""Tables by column: CSV and Parquet files, and data frames."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtsearch.config.errors import BadInput
from mtsearch.data.tables import Rows, read_lines

TABLES = (".csv", ".tsv", ".parquet")
_EXACT = 2**53  # up to which float64 represents all whole numbers
_INDEX = re.compile(r"__index_level_\d+__")  # columns in which pandas keeps the index of a frame
Cells = list[str] | NDArray[np.float64]


@dataclass(frozen=True)
class Columns:
    """A table by column.

    Attributes:
        cells: by column, texts, of which an empty one is missing, or numbers, of which NaN is.
            Truth values are the texts `True` and `False`, as pandas writes them to a CSV; columns
            with whole numbers that float64 would round are texts, too.
        numbers: of the rows in messages. The header of a CSV is row 1.
        where: the table in messages.
    """

    cells: Mapping[str, Cells]
    numbers: Sequence[int]
    where: str

    def __len__(self) -> int:
        return len(self.numbers)

    def texts(self, column: str) -> list[str]:
        """The cells of a column as texts; whole numbers have no decimal point."""
        cells = self.cells[column]
        return cells if isinstance(cells, list) else [_text(value) for value in cells.tolist()]

    def rows(self, columns: Sequence[str]) -> Rows:
        """Some columns row by row, as texts by row number. Unknown columns are left out."""
        known = {name: self.texts(name) for name in columns if name in self.cells}
        return {
            number: {name: texts[place] for name, texts in known.items()}
            for place, number in enumerate(self.numbers)
        }


def read_columns(path: Path, where: str) -> Columns:
    """Read a table.

    Args:
        path: a file that ends in .csv, .tsv or .parquet.
        where: its name in messages.

    Raises:
        BadInput: it is not a table, or has no rows.
    """
    if path.suffix.lower() == ".parquet":
        return _read_parquet(path, where)
    if path.suffix.lower() not in TABLES:
        raise BadInput(f"A table should end in {', '.join(TABLES)}. Found {where}.")
    names, lines = read_lines(path.read_bytes(), where)
    cells = [list(column) for column in zip(*lines.values(), strict=True)]
    return Columns(dict(zip(names, cells, strict=True)), list(lines), where)


def columns_of(frame: Any, where: str) -> Columns:
    """The columns of a pandas data frame, a table of pyarrow, or a mapping of columns.

    Raises:
        BadInput: it is none of these, or its columns differ in length.
    """
    if hasattr(frame, "column_names"):  # pyarrow
        return _of_arrow(frame, where)
    if not hasattr(frame, "keys"):
        raise BadInput(
            f"{where} should be a data frame or a mapping of columns. Found"
            f" {type(frame).__name__}. Convert it."
        )
    import pyarrow as pa

    names = [str(name) for name in frame]
    if twice := [name for name in names if names.count(name) > 1]:
        raise BadInput(f"{where} has two columns `{twice[0]}`; keep one.")
    try:
        named = {str(name): pa.array(frame[name], from_pandas=True) for name in frame}
        table = pa.table(named)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise BadInput(f"{where} cannot be read as columns ({_line(error)}). Convert it.") from None
    return _of_arrow(table, where, first=0)


def _read_parquet(path: Path, where: str) -> Columns:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise BadInput(f"{where} cannot be read as Parquet ({_line(error)}); replace it.") from None
    if not table.num_rows:
        raise BadInput(f"{where} has no rows; it should have one per example.")
    return _of_arrow(table, where)


def _of_arrow(table: Any, where: str, first: int = 1) -> Columns:
    import pyarrow as pa

    cells: dict[str, Cells] = {}
    for name in table.column_names:
        if _INDEX.fullmatch(name):
            continue
        column = table.column(name)
        kind = column.type
        if pa.types.is_dictionary(kind):
            column, kind = column.cast(kind.value_type), kind.value_type
        if pa.types.is_integer(kind) or pa.types.is_floating(kind):
            values = column.cast(pa.float64(), safe=False).to_numpy().astype(np.float64)
            exact = pa.types.is_floating(kind) or not (np.abs(values) >= _EXACT).any()
            cells[name] = values if exact else _texts(column)
        elif pa.types.is_null(kind):
            cells[name] = [""] * len(column)
        else:
            cells[name] = _texts(column)
    return Columns(cells, range(first, first + table.num_rows), where)


def _texts(column: Any) -> list[str]:
    return ["" if value is None else str(value).strip() for value in column.to_pylist()]


def _text(value: float) -> str:
    if math.isnan(value):
        return ""
    return str(int(value)) if value.is_integer() and abs(value) < _EXACT else repr(value)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
