"""Text from outside made safe to print and to write."""

from __future__ import annotations

import re

# C0 and C1 control characters and DEL (terminal sequences begin with one), and the marks that
# reverse the direction of text, so that a name reads as another
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def printable(text: str, *, lines: bool = False) -> str:
    """The text without control characters; tabs and line ends become spaces, or stay with
    `lines=True`."""
    if not lines:
        text = re.sub(r"[\t\n\r]+", " ", text)
        return _CONTROL.sub("", text)
    return _CONTROL.sub(lambda match: match[0] if match[0] in "\t\n" else "", text)
