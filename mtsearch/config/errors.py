"""The exceptions whose text is for the user: one sentence."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class BadInput(ValueError):
    """Input that cannot be used. Its text is one sentence: what is wrong, where, what was found,
    what to do. Commands exit with code 2."""


class Damaged(BadInput):
    """Prepared data that have changed since they were prepared. No trial can be trained on them."""


class Halt(RuntimeError):
    """A run that cannot continue for a reason outside its trials, such as a full disk. Its text is
    one sentence. Commands exit with code 1; the run can be resumed once the cause is removed."""


def nearest(word: str, names: Iterable[str]) -> str:
    """The end of an error sentence: ``Did you mean `lr`?`` if a known name is similar to `word`,
    else the known names."""
    names = sorted(set(map(str, names)))
    close = difflib.get_close_matches(str(word), names, n=1, cutoff=0.6)
    if close:
        return f"Did you mean `{close[0]}`?"
    listed = ", ".join(f"`{name}`" for name in names[:24])
    return f"Known here: {listed}{', ...' if len(names) > 24 else ''}."


def format_value(value: Any) -> str:
    """A value as a user would write it, cut after 120 characters."""
    text = (
        {None: "null", True: "true", False: "false"}[value]
        if value is None or isinstance(value, bool)
        else repr(value)
    )
    return text if len(text) <= 120 else f"{text[:117]}..."


def reason_of(error: BaseException) -> str:
    """Why a trial failed, on one line: the exception's text, with its type unless the text is a
    sentence of ours."""
    text = " ".join(str(error).encode(errors="replace").decode().split())
    if type(error).__name__ in ("Diverged", "BadInput", "Damaged"):
        return text
    return f"{type(error).__name__}: {text}"[:500] if text else type(error).__name__
