"""Rules: how one application changes the row norms of a layer, one rule for each settings class of
kind ``sparsity``."""

from __future__ import annotations

import math
from typing import Any, Protocol

import torch
from torch import Tensor

from mtsearch.config import schema
from mtsearch.config.base import Model
from mtsearch.config.registry import implementation_of
from mtsearch.sparsity.growl import growl_prox, growl_weights, prox_strength

_ROUNDING = 1e-9  # 0.1 * 7200 should be 720 rows, not 719


class Rule(Protocol):
    """Maps row norms before an application to those after it; a row that becomes 0 stays 0."""

    def __init__(self, config: Any) -> None: ...

    def __call__(self, norms: Tensor, progress: float) -> Tensor:
        """`norms` (n,) float64 on the host; `progress` in (0, 1] is the share of the search phase
        that is over. Returns (n,), none above `norms`."""
        ...


def build_rule(config: Model) -> Rule:
    """The rule of the settings `config`. Raises BadInput where there is none (dense training)."""
    found: type[Rule] = implementation_of(config)
    return found(config)


def cubic_fraction(target: float, progress: float) -> float:
    """The fraction of zero rows at `progress` in [0, 1]: ``target (1 - (1 - progress)^3)`` (Zhu &
    Gupta 2018)."""
    return target * (1 - (1 - min(progress, 1.0)) ** 3)


def row_count(fraction: float, n: int) -> int:
    """``floor(fraction n)`` without losing a row to rounding."""
    return math.floor(fraction * n + _ROUNDING)


class TargetRule:
    """Exactly the scheduled number of rows is zero afterwards.

    ``growl``: the prox with the strength that zeroes that number, shrinking the survivors; where no
    strength reaches it (see `prox_strength`), the smallest remaining rows are zeroed too.
    ``magnitude``: the smallest rows are zeroed, the others stay as they are.
    """

    def __init__(self, config: schema.TargetSparsityConfig) -> None:
        self.config = config

    def __call__(self, norms: Tensor, progress: float) -> Tensor:
        zeros = row_count(cubic_fraction(self.config.target, progress), len(norms))
        after = norms
        if self.config.method == "growl":
            weights = growl_weights(
                len(norms), self.config.pattern, self.config.beta1, self.config.beta2
            )
            after = growl_prox(norms, weights, prox_strength(norms, weights, zeros))
        smallest = norms.argsort(stable=True)[:zeros]
        return after.index_fill(0, smallest, 0.0)


class CoefficientRule:
    """GrOWL's prox with strength ``coefficient / 0.01`` under a cap of zero rows, which grows in
    equal stages (Hotegni et al. 2024).

    Where the prox zeroes more rows than the cap allows, those with the largest norms keep their
    norm from before.
    """

    def __init__(self, config: schema.CoefficientSparsityConfig) -> None:
        self.config = config

    def __call__(self, norms: Tensor, progress: float) -> Tensor:
        config = self.config
        weights = growl_weights(len(norms), config.pattern, config.beta1, config.beta2)
        after = growl_prox(norms, weights, config.coefficient / 0.01)
        stage = min(max(math.ceil(progress * config.cap_stages - _ROUNDING), 1), config.cap_stages)
        allowed = row_count(config.layer_cap * stage / config.cap_stages, len(norms))
        zeroed = (after == 0).nonzero().flatten()
        largest_first = zeroed[norms[zeroed].argsort(descending=True, stable=True)]
        restored = largest_first[: max(len(zeroed) - allowed, 0)]
        return torch.index_copy(after, 0, restored, norms[restored])
