"""Predictions for many image files as a table, batch by batch."""

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

import torch

from mtsearch.config.errors import BadInput
from mtsearch.config.files import replacing
from mtsearch.deploy.exported import Deployed
from mtsearch.deploy.files import whole_folder
from mtsearch.deploy.prediction_rows import Columns, RowMaker
from mtsearch.deploy.preprocessing import Preprocessing
from mtsearch.reporting.tables import csv_cell

ENDINGS = (".csv", ".jsonl", ".parquet")
MARKER = ".predictions"  # the file that marks a folder of masks, which may be replaced
LARGEST = 2**30  # bytes of an image file
Row = dict[str, Any]
Write = Callable[[Sequence[Row]], None]


@dataclass(frozen=True)
class Predicted:
    """What `predict_table` wrote.

    Attributes:
        table: the file.
        files: the folder with masks and other files; None if no task has any.
        images: how many images were named.
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
    images: Sequence[Path],
    to: Path,
    batch: int = 64,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Predicted:
    """Write a row for each image, in their order, and masks into the folder `<stem>_masks` beside
    the table. The table appears whole or not at all. Two batches are in memory at a time.

    A row has `path`; `error`, why the image could not be read; and by task
    `<task>/label`, `<task>/probability` and `<task>/p/<class>` of a classification,
    `<task>/value` (or `<task>/value/<index>`) of a regression, `<task>/mask` with the PNG file of
    class numbers of a segmentation, `<task>/image` of a restoration, or `<task>/array` (`.npy`).

    Args:
        network: that predicts.
        images: the files.
        to: the table, `.csv`, `.jsonl` or `.parquet`; an earlier one is replaced.
        batch: images per batch of the network, at least 1.
        progress: called with the numbers of images that are done and of all images.

    Raises:
        BadInput: `to` has another ending or is one of the images, or the folder of masks exists and
            was not written by this function.
    """
    if to.suffix.lower() not in ENDINGS:
        raise BadInput(f"`to` should end in {', '.join(ENDINGS)}. Found {to}.")
    if to.is_dir():
        raise BadInput(f"`to` should be a file. Found the folder {to}.")
    beside = to.with_name(f"{to.stem}_masks")
    maker = RowMaker(network, beside.name)
    files = beside if maker.writes_files else None
    with replacing(to) as temporary, _files(files) as folder:
        failed, reason = 0, ""
        with _writer(temporary, to.suffix.lower(), maker.columns) as write:
            for rows in _batches(maker, images, batch, folder):
                write([{name: row.get(name) for name in maker.columns} for row in rows.values()])
                bad = [row["error"] for row in rows.values() if row.get("error")]
                failed, reason = failed + len(bad), reason or (bad[0] if bad else "")
                progress(max(rows) + 1, len(images))
    return Predicted(to, files, len(images), failed, reason)


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
    maker: RowMaker, images: Sequence[Path], size: int, folder: Path
) -> Iterator[dict[int, Row]]:
    """The rows of each batch by number of the image; the next batch is decoded meanwhile."""
    steps = maker.network.preprocessing
    # one thread only: Pillow's warnings are caught, which is not safe in several threads
    with ThreadPoolExecutor(1) as thread:
        parts = [images[start : start + size] for start in range(0, len(images), size)]
        following = thread.submit(_read, parts[0], steps)
        for number, part in enumerate(parts):
            pixels, errors = following.result()
            if number + 1 < len(parts):
                following = thread.submit(_read, parts[number + 1], steps)
            names, first = [str(path) for path in part], number * size
            rows = maker.rows(pixels, names, first, folder)
            rows |= {i: {"path": names[i], "error": text} for i, text in errors.items()}
            yield {first + index: rows[index] for index in sorted(rows)}


def _read(
    part: Sequence[Path], steps: Preprocessing
) -> tuple[dict[int, torch.Tensor], dict[int, str]]:
    """The pixels of the images that can be read, and why the others cannot, by index."""
    pixels, errors = {}, {}
    for index, path in enumerate(part):
        try:
            if path.exists() and not path.is_file():
                raise BadInput(f"The image {path} is not a file.")
            if path.stat().st_size > LARGEST:
                raise BadInput(f"The image {path} is larger than 1 GiB.")
            pixels[index] = steps.pixels(path.read_bytes(), str(path))
        except BadInput as error:
            errors[index] = str(error)
        except (OSError, ValueError) as error:  # ValueError: a null character in a path
            reason = getattr(error, "strerror", None) or str(error)
            errors[index] = f"The image {path} cannot be read ({reason})."
    return pixels, errors


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
