"""Reading CSV files."""

from __future__ import annotations

import csv
import io

from mtsearch.config.errors import BadInput
from mtsearch.data.remarks import remark

Rows = dict[int, dict[str, str]]
"""Cells by column, by row number in the file, where the header is row 1."""
SHOWN = 20  # mistakes of a table
_DELIMITERS = {";": "semicolons", "\t": "tabs"}


def read_csv(content: bytes, where: str, column: str | None = None) -> list[list[str]]:
    """Parse a CSV file in UTF-8, with or without a byte order mark, with any line endings.

    Args:
        content: bytes of the file.
        where: name of the file in messages.
        column: a column of the first row. If the first row has this column only when split at
            semicolons or tabs, the file is read with that delimiter, with a remark.

    Raises:
        BadInput: the content is not UTF-8 text or not CSV.
    """
    try:
        text = content.decode("utf-8-sig")
        delimiter = _delimiter(text, column)
        if delimiter != ",":
            remark(f"tables whose columns are separated by {_DELIMITERS[delimiter]}", where)
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{where} is not a CSV in UTF-8 ({error}); save it as one.") from error


def read_table(content: bytes, where: str, column: str | None = None) -> Rows:
    """The rows of a CSV with a header that are not blank.

    Args:
        content: bytes of the file.
        where: name of the file in messages.
        column: a column of the header, by which the delimiter is found; by default the first name
            with the delimiter that gives the most columns.

    Raises:
        BadInput: the content is not a table.
    """
    names, filled = read_lines(content, where, column)
    return {number: dict(zip(names, line, strict=True)) for number, line in filled.items()}


def read_lines(
    content: bytes, where: str, column: str | None = None
) -> tuple[list[str], dict[int, list[str]]]:
    """The names of the columns of a CSV, and its rows that are not blank, by row number; as
    `read_table`."""
    lines = read_csv(content, where, _first_column(content) if column is None else column)
    cells = {number: [cell.strip() for cell in line] for number, line in enumerate(lines, start=1)}
    filled = {number: line for number, line in cells.items() if any(line)}
    if len(filled) < 2:
        raise BadInput(f"{where} has no rows; it should have a header and one row per image.")
    names = filled.pop(min(filled))
    if twice := [name for name in names if name and names.count(name) > 1]:
        raise BadInput(f"{where} has two columns `{twice[0]}`; keep one.")
    wrong = [
        f"Row {number} of {where} has {len(line)} cell(s), but there are {len(names)} columns;"
        " quote cells that contain commas."
        for number, line in filled.items()
        if len(line) != len(names)
    ]
    refuse(wrong)
    return names, filled


def refuse(wrong: list[str]) -> None:
    """Raise BadInput with all of these mistakes, of which the first are written out."""
    if wrong:
        more = len(wrong) - SHOWN
        end = f" There are {more} more mistakes like these." if more > 0 else ""
        raise BadInput(" ".join(wrong[:SHOWN]) + end)


NO_TAG = "-"  # the cell of an example that is labelled and has no tag


def split_tags(cell: str) -> list[str]:
    """The tags of a cell, which are separated by `;` or `|`."""
    tags = [tag.strip() for tag in cell.replace("|", ";").split(";")]
    return [tag for tag in tags if tag and tag != NO_TAG]


def _first_column(content: bytes) -> str:
    text = content.decode("utf-8-sig", errors="replace")
    first = next((line for line in io.StringIO(text, newline="") if line.strip()), "")
    rows = [
        next(csv.reader([first.strip("\r\n")], delimiter=delimiter), [""])
        for delimiter in (",", *_DELIMITERS)
    ]
    return max(rows, key=len)[0].strip()


def _delimiter(text: str, column: str | None) -> str:
    first = next((line for line in io.StringIO(text, newline="") if line.strip()), "")
    for delimiter in (",", *_DELIMITERS):
        names = next(csv.reader([first.strip("\r\n")], delimiter=delimiter), [])
        if column in [name.strip() for name in names] and (delimiter == "," or len(names) > 1):
            return delimiter
    return ","
