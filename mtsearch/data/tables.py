"""Reading CSV files."""

from __future__ import annotations

import csv
import io

from mtsearch.config.errors import BadInput
from mtsearch.data.remarks import remark

_DELIMITERS = {";": "semicolons", "\t": "tabs"}


def read_csv(content: bytes, where: str, column: str | None = None) -> list[list[str]]:
    """The rows of a CSV in UTF-8, with or without a byte order mark, with any line ends.

    Args:
        content: of the file.
        where: names the file in messages.
        column: a column that the first row has; where that row has it when it is split at
            semicolons or tabs, and not when it is split at commas, the file is read so, with a
            remark.

    Raises:
        BadInput: the content is no text in UTF-8 or no CSV.
    """
    try:
        text = content.decode("utf-8-sig")
        delimiter = _delimiter(text, column)
        if delimiter != ",":
            remark(f"tables whose columns are separated by {_DELIMITERS[delimiter]}", where)
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{where} is no CSV in UTF-8 ({error}); save it as one.") from error


def _delimiter(text: str, column: str | None) -> str:
    first = next((line for line in io.StringIO(text, newline="") if line.strip()), "")
    for delimiter in (",", *_DELIMITERS):
        names = next(csv.reader([first.strip("\r\n")], delimiter=delimiter), [])
        if column in [name.strip() for name in names] and (delimiter == "," or len(names) > 1):
            return delimiter
    return ","
