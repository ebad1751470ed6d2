"""Predictions for many image files, or the rows of a table, as a table, batch by batch."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtsearch.config.errors import BadInput
from mtsearch.config.files import replacing
from mtsearch.deploy.examples import Examples
from mtsearch.deploy.exported import Deployed
from mtsearch.deploy.files import whole_folder
from mtsearch.deploy.prediction_rows import Columns, RowMaker
from mtsearch.reporting.tables import csv_cell

ENDINGS = (".csv", ".jsonl", ".parquet")
MARKER = ".predictions"  # the file that marks a folder of masks, which may be replaced
Row = dict[str, Any]
Write = Callable[[Sequence[Row]], None]


@dataclass(frozen=True)
class Predicted:
    """What `predict_table` wrote.

    Attributes:
        table: the file.
        files: the folder with masks and other files; None if no task has any.
        images: how many examples were named.
        failed: how many of them could not be read.
        reason: why the first of these could not be read.
    """

    table: Path
    files: Path | None
    images: int
    failed: int
    reason: str


def predict_table(
    network: Deployed,
    examples: Examples,
    to: Path,
    batch: int = 64,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Predicted:
    """Write a row for each example, in their order, and masks into the folder `<stem>_masks` beside
    the table. The table appears whole or not at all. Two batches are in memory at a time.

    A row has `path` or, of a table, `row`; `error`, why the example could not be read; and by task
    `<task>/label`, `<task>/probability` and `<task>/p/<class>` of a classification,
    `<task>/value` (or `<task>/value/<index>`) of a regression, `<task>/mask` with the PNG file of
    class numbers of a segmentation, `<task>/image` of a restoration, or `<task>/array` (`.npy`).

    Args:
        network: that predicts.
        examples: what is predicted.
        to: the table, `.csv`, `.jsonl` or `.parquet`; an earlier one is replaced.
        batch: images per batch of the network, at least 1.
        progress: called with the numbers of images that are done and of all images.

    Raises:
        BadInput: `to` has another ending, or the folder of masks exists and
            was not written by this function.
    """
    if to.suffix.lower() not in ENDINGS:
        raise BadInput(f"`to` should end in {', '.join(ENDINGS)}. Found {to}.")
    if to.is_dir():
        raise BadInput(f"`to` should be a file. Found the folder {to}.")
    beside = to.with_name(f"{to.stem}_masks")
    maker = RowMaker(network, beside.name, examples.key)
    count = len(examples.names)
    files = beside if maker.writes_files else None
    with replacing(to) as temporary, _files(files) as folder:
        failed, reason = 0, ""
        with _writer(temporary, to.suffix.lower(), maker.columns) as write:
            for rows in _batches(maker, examples, batch, folder):
                write([{name: row.get(name) for name in maker.columns} for row in rows.values()])
                bad = [row["error"] for row in rows.values() if row.get("error")]
                failed, reason = failed + len(bad), reason or (bad[0] if bad else "")
                progress(max(rows) + 1, count)
    return Predicted(to, files, count, failed, reason)


@contextmanager
def _files(path: Path | None) -> Iterator[Path]:
    """The folder to write masks into; where there are none, one that stays empty."""
    if path is None:
        yield Path()
        return
    with whole_folder(path, MARKER, "of earlier masks") as folder:
        (folder / MARKER).touch()
        yield folder


def _batches(
    maker: RowMaker, examples: Examples, size: int, folder: Path
) -> Iterator[dict[int, Row]]:
    """The rows of each batch by number of the example; the next batch is decoded meanwhile."""
    # one thread only: Pillow's warnings are caught, which is not safe in several threads
    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(examples.read, 0, size)
        for first in range(0, len(examples.names), size):
            pixels, errors = following.result()
            if first + size < len(examples.names):
                following = thread.submit(examples.read, first + size, first + 2 * size)
            names = examples.names[first : first + size]
            rows = maker.rows(pixels, names, first, folder)
            rows |= {i: {maker.key: names[i], "error": text} for i, text in errors.items()}
            yield {first + index: rows[index] for index in sorted(rows)}


@contextmanager
def _writer(path: Path, ending: str, columns: Columns) -> Iterator[Write]:
    """A function that appends rows to a table."""
    if ending == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        types = {str: pa.string(), float: pa.float64()}
        schema = pa.schema([(name, types[kind]) for name, kind in columns.items()])
        with pq.ParquetWriter(path, schema) as parquet:
            yield lambda rows: parquet.write_table(
                pa.Table.from_pylist([*map(_text, rows)], schema)
            )
        return
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        if ending == ".jsonl":
            yield lambda rows: file.writelines(
                json.dumps(_finite(row), ensure_ascii=True, allow_nan=False) + "\n" for row in rows
            )
            return
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([csv_cell(name) for name in columns])
        yield lambda rows: writer.writerows([csv_cell(c) for c in row.values()] for row in rows)


def _finite(row: Row) -> Row:
    return {
        name: None if isinstance(cell, float) and not math.isfinite(cell) else cell
        for name, cell in row.items()
    }


def _text(row: Row) -> Row:
    """The row with names of files that are no UTF-8 made printable, as Parquet needs."""
    return {
        name: cell.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        if isinstance(cell, str)
        else cell
        for name, cell in row.items()
    }
