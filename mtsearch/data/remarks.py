"""Remarks about the files of a dataset, collected while it is built.

A remark is information for the user that is not an error, such as images that were rotated by their
EXIF orientation. `prepare` prints remarks, and the store's manifest keeps them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Remarks:
    """Counts of remarks by their text, with the first file that each applies to."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, str]] = {}

    def add(self, text: str, example: str, count: int = 1) -> None:
        """Count `count` more files that the remark `text` applies to."""
        before, first = self._found.get(text, (0, example))
        self._found[text] = before + count, first

    def rows(self) -> list[dict[str, str | int]]:
        """One ``{"text", "count", "example"}`` for each remark, in the order of appearance."""
        return [
            {"text": text, "count": count, "example": example}
            for text, (count, example) in self._found.items()
        ]


_current: ContextVar[Remarks | None] = ContextVar("remarks", default=None)


@contextmanager
def collect_remarks() -> Iterator[Remarks]:
    """Collect the remarks that are made within the block."""
    remarks = Remarks()
    token = _current.set(remarks)
    try:
        yield remarks
    finally:
        _current.reset(token)


def remark(text: str, example: str, count: int = 1) -> None:
    """Make a remark about `count` files, with one of them as `example`. Outside of
    `collect_remarks` it is dropped."""
    remarks = _current.get()
    if remarks is not None:
        remarks.add(text, example, count)
