"""The log of a trial that failed."""

from __future__ import annotations

import re
import traceback

LINES, LENGTH = 40, 6000
"""The most lines and characters of a log that are kept, the last ones."""
_PLACE = re.compile(r'File "[^"]*?(?:site-packages/|/(?=mtsearch/)|/(?=[^/"]+"))')


def log_of(error: BaseException) -> str:
    """The traceback of an exception with its causes, shortened by `last_lines`; the files have no
    folders of this machine."""
    return last_lines("".join(traceback.format_exception(error)))


def last_lines(text: str) -> str:
    """The last lines of a log."""
    lines = _PLACE.sub('File "', text.strip()).splitlines()[-LINES:]
    return "\n".join(lines)[-LENGTH:]
