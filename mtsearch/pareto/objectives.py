"""The limit on the number of objectives of a search."""

from __future__ import annotations

from collections.abc import Sequence

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import Objective

MAX_OBJECTIVES = 10
"""With more objectives almost no trial dominates another, so that a front selects nothing and a
scheduler stops trials at random (Ishibuchi et al. 2008, "Evolutionary many-objective optimization:
a short review")."""


def check_objectives(objectives: Sequence[Objective]) -> None:
    """Raise BadInput where a search has more than `MAX_OBJECTIVES` objectives."""
    if len(objectives) > MAX_OBJECTIVES:
        raise BadInput(
            f"`objectives` should name at most {MAX_OBJECTIVES} metrics. Found {len(objectives)}."
            " Aggregate them with `val/mean/error`, `val/worst/error`, `val/delta_m` or an"
            " `expression`, and bound the others with `constraints`."
        )
