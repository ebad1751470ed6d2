"""The names of trials: which ones a run may have, as each becomes the name of a folder."""

from __future__ import annotations

import re

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import LONGEST

# trial 0012, its repeat 0012.s1, its point 0012@03; never longer than a folder's name may be
_SEARCH = re.compile(r"(?:[0-9]{4}|[1-9][0-9]{4,18})(?:\.s[0-9]{1,9})?(?:@[0-9]{2,9})?")
_CONTROL = re.compile(r"\w[\w-]*")
# the third configuration of a searched control is stl.t03, its repeat stl.t03.s1
_CONTROL_TRIAL = re.compile(r"(\w[\w-]*)(?:\.t[0-9]{2,4})?(?:\.s[0-9]{1,9})?(?:@[0-9]{2,9})?")


def is_search_name(name: object) -> bool:
    """Whether a search trial may have this name: ``0012``, ``0012.s1``, ``0012@03``."""
    return isinstance(name, str) and _SEARCH.fullmatch(name) is not None


def is_control_name(name: object) -> bool:
    """Whether a control may have this name: letters, digits, ``-`` and ``_``, not only digits."""
    return (
        isinstance(name, str)
        and len(name) <= LONGEST
        and not name.isdigit()
        and _CONTROL.fullmatch(name) is not None
    )


def is_control_trial_name(name: object) -> bool:
    """Whether a trial of a control may have this name: ``stl``, its repeat ``stl.s1``, its point
    ``stl@03``, or one of its searched configurations, ``stl.t03``."""
    match = _CONTROL_TRIAL.fullmatch(name) if isinstance(name, str) else None
    return match is not None and is_control_name(match[1])


def is_trial_name(name: object) -> bool:
    """Whether a trial may have this name. No such name leaves its folder."""
    return is_search_name(name) or is_control_trial_name(name)


def check_control_names(names: object) -> None:
    """Raises BadInput where a space names a control as no run may."""
    for name in names if isinstance(names, dict) else ():
        if not is_control_name(name):
            raise BadInput(
                f"`controls.{name}` should be named by at most {LONGEST} letters, digits, `-` and"
                " `_`, not by digits alone. Rename it."
            )
