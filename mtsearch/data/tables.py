"""Reading CSV files."""

from __future__ import annotations

import csv
import io

from mtsearch.config.errors import BadInput
from mtsearch.data.remarks import remark

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


def _delimiter(text: str, column: str | None) -> str:
    first = next((line for line in io.StringIO(text, newline="") if line.strip()), "")
    for delimiter in (",", *_DELIMITERS):
        names = next(csv.reader([first.strip("\r\n")], delimiter=delimiter), [])
        if column in [name.strip() for name in names] and (delimiter == "," or len(names) > 1):
            return delimiter
    return ","
