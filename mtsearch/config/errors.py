"""The exceptions whose text is for the user: one sentence."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class BadInput(ValueError):
    """Input that cannot be used. Its text is one sentence: what is wrong, where, what was found,
    what to do. Doors exit with code 2."""


class Damaged(BadInput):
    """Prepared data that are not what was prepared: no trial can be trained on them, however it is
    configured."""


class Halt(RuntimeError):
    """A run that cannot go on through no fault of its trials, as when a disk is full. Its text is
    one sentence. Doors exit with code 1; the run is resumed once that is mended."""


def nearest(word: str, names: Iterable[str]) -> str:
    """A hint that ends an error sentence: ``Did you mean `lr`?`` where a name is near, else the
    names there are."""
    names = sorted(set(map(str, names)))
    close = difflib.get_close_matches(str(word), names, n=1, cutoff=0.6)
    if close:
        return f"Did you mean `{close[0]}`?"
    shown = ", ".join(f"`{name}`" for name in names[:24])
    return f"Known here: {shown}{', ...' if len(names) > 24 else ''}."


def format_value(value: Any) -> str:
    """A value that was found, as a user would write it, cut where it is long."""
    text = (
        {None: "null", True: "true", False: "false"}[value]
        if value is None or isinstance(value, bool)
        else repr(value)
    )
    return text if len(text) <= 120 else f"{text[:117]}..."


def reason_of(error: BaseException) -> str:
    """One line that says why a trial failed: the exception's first sentence, with its type where
    the text alone says little."""
    text = " ".join(str(error).encode(errors="replace").decode().split())
    if type(error).__name__ in ("Diverged", "BadInput", "Damaged"):
        return text
    return f"{type(error).__name__}: {text}"[:500] if text else type(error).__name__
