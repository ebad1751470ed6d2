"""Selection of the member of a task that survives a round."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mtsearch.config.population import MTOConfig


def survivor(
    settings: MTOConfig, task: int, own: float, visitors: Sequence[float], donors: Sequence[int]
) -> int:
    """Return the member whose state the task keeps: 0 for its own member, m for its m-th visitor.

    A loss of NaN counts as infinite. The own member wins ties, except with ``accept: argmin``, the
    rule of loss formulations, where the lowest task number wins.

    Args:
        settings: the settings of the population.
        task: the task.
        own: the loss of the task's own member.
        visitors: the losses of its visitors.
        donors: the donor of each visitor.
    """
    losses = [math.inf if math.isnan(loss) else loss for loss in visitors]
    own = math.inf if math.isnan(own) else own
    if not losses or settings.accept == "never":
        return 0
    best = min(range(len(losses)), key=lambda m: losses[m])
    if settings.accept == "always":
        return best + 1
    if settings.accept == "argmin":
        candidates = [(own, task, 0), *((loss, donors[m], m + 1) for m, loss in enumerate(losses))]
        return min(candidates)[2]
    margin = settings.margin if settings.accept == "margin" else 0.0
    return best + 1 if losses[best] < own - margin else 0
