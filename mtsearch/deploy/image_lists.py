"""The image files that a path names: a file, a folder, a list or a column of a table."""

from __future__ import annotations

import os
import re
from pathlib import Path

from mtsearch.config.errors import BadInput, nearest
from mtsearch.data.decoding import is_image
from mtsearch.data.tables import read_csv

COLUMNS = ("path", "image", "file", "filename", "file_name")  # read without `column=`
TABLES = (".csv", ".tsv", ".parquet")


def image_files(path: Path, column: str | None = None) -> list[Path]:
    """The image files that a path names, in a fixed order.

    Args:
        path: an image file; a folder, of which all image files are taken, also those in folders
            inside it; a text file (`.txt`) with a path a line; or a table (`.csv`, `.tsv`,
            `.parquet`) with a column of paths. Paths in files are relative to the file's folder.
        column: the column of a table; None takes the only one, or one of `COLUMNS`.

    Raises:
        BadInput: there is no such path, it cannot be read, or it names no image.
    """
    ending = path.suffix.lower()
    if column is not None and ending not in TABLES:
        raise BadInput(f"`column` is for tables ({', '.join(TABLES)}). Found {path}. Leave it out.")
    try:
        if path.is_dir():
            found = _in_folder(path)
        elif not path.exists():
            raise BadInput(f"`images` should be a file or folder. Found no {path}.")
        elif not path.is_file():
            raise BadInput(f"`images` should be a file or folder. {path} is a pipe or device.")
        elif ending == ".txt":
            lines = path.read_text(encoding="utf-8-sig").splitlines()
            found = [path.parent / line.strip() for line in lines if line.strip()]
        elif ending in TABLES:
            cells = _parquet(path, column) if ending == ".parquet" else _csv(path, column)
            found = [path.parent / cell for cell in cells if cell.strip()]
        else:
            found = [path]
    except OSError as error:
        raise BadInput(f"`images={path}` cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise BadInput(f"`images={path}` should be a text file in UTF-8. Save it as one.") from None
    if not found:
        raise BadInput(f"`images={path}` names no image. Give a folder or list with images.")
    return found


def _in_folder(folder: Path) -> list[Path]:
    found: list[Path] = []

    def fail(error: OSError) -> None:
        raise error

    for place, folders, files in os.walk(folder, onerror=fail):
        folders.sort()
        found += [Path(place, name) for name in sorted(files) if is_image(name)]
    return found


def _csv(path: Path, column: str | None) -> list[str]:
    content = path.read_bytes()
    for name in (column,) if column else (*COLUMNS, None):
        rows = [row for row in read_csv(content, str(path), name) if row]
        head = [cell.strip() for cell in rows[0]] if rows else []
        if name in head:
            break
    if any(is_image(cell) for cell in head):
        raise BadInput(f"the first row of {path} should name the columns. Found {head[0]}.")
    if len(head) == 1 and name is None:  # other delimiters are found by the name of the column
        head = re.split("[;\t]", head[0])
    place = head.index(_column(head, column, path))
    return [row[place] for row in rows[1:] if len(row) > place]


def _parquet(path: Path, column: str | None) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        name = _column(pq.read_schema(path).names, column, path)
        cells = pq.read_table(path, columns=[name]).column(name).to_pylist()
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BadInput(f"`images={path}` is not a Parquet table ({reason}).") from None
    if not all(cell is None or isinstance(cell, str) for cell in cells):
        raise BadInput(f"the column `{name}` of {path} should contain paths. Name another one.")
    return [cell for cell in cells if cell]


def _column(head: list[str], column: str | None, path: Path) -> str:
    if column is None:
        known = [name for name in COLUMNS if name in head]
        if len(head) == 1 or known:
            return (known or head)[0]
        raise BadInput(
            f"`column` is missing: {path} has the columns {', '.join(head) or 'none'}. Name the one"
            " with the paths of the images."
        )
    if column not in head:
        raise BadInput(f"{path} has no column `{column}`. {nearest(column, head)}")
    return column
