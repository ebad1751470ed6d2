"""The names of repeated trials, and the order of trials in tables and messages."""

from __future__ import annotations

import math
import re

_REPEAT = re.compile(r"\.s([0-9]{1,9})(?=@|$)")


def configuration_of(trial: str) -> str:
    """The name of the trial that this one repeats with another seed, else its own: `0012` for
    `0012.s1`, `0012@03` for `0012.s1@03`, `stl` for `stl.s2`."""
    return _REPEAT.sub("", trial)


def repeat_of(trial: str) -> int:
    """The number of a repeat, 1 for `0012.s1`; 0 for a trial that repeats no other one."""
    match = _REPEAT.search(trial)
    return int(match[1]) if match else 0


def trial_of(name: str) -> str:
    """The name of the trial that a point belongs to: `0012` for `0012@03`; else the name itself."""
    return name.partition("@")[0]


def trial_order(trial: str, control: bool = False) -> tuple[bool, float, str]:
    """The sort key of a trial by its identifier: search trials by number, then controls by name.

    The number of `0012`, of a repeat `0012.s1` and of a point `0012@03` is 12, however many digits
    it is written with; equal numbers are sorted by the rest of the identifier. Identifiers without
    a number come last among the search trials.
    """
    match = None if control else re.match(r"[0-9]+", trial)
    if match is None:
        return control, 0 if control else math.inf, trial
    return control, int(match[0]), trial[match.end() :]
