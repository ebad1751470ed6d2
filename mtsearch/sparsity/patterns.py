"""GrOWL's weight patterns: how strongly each rank of the sorted row norms is penalised."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mtsearch.config.errors import BadInput, nearest


def _spike(n: int, beta1: float, beta2: float) -> Tensor:
    weights = torch.full((n,), beta2, dtype=torch.float64)
    weights[:1] += beta1
    return weights


def _linear(n: int, beta1: float, beta2: float) -> Tensor:
    ranks = torch.arange(1, n + 1, dtype=torch.float64)
    return beta1 + beta2 * (n - ranks) / n


def _dejiao(n: int, beta1: float, beta2: float) -> Tensor:
    head = n // 2
    weights = torch.full((n,), beta2, dtype=torch.float64)
    weights[:head] = beta1 + beta2 * torch.arange(head, 0, -1, dtype=torch.float64)
    return weights


_PATTERNS: dict[str, Callable[[int, float, float], Tensor]] = {
    "spike": _spike,
    "linear": _linear,
    "dejiao": _dejiao,
}


def growl_weights(n: int, pattern: str, beta1: float, beta2: float) -> Tensor:
    """GrOWL's weights ``theta_1 >= ... >= theta_n >= 0`` for `n` rows, float64 (n,).

    - ``spike``: ``theta_1 = beta1 + beta2``, the others ``beta2``;
    - ``linear``: ``theta_i = beta1 + beta2 (n - i) / n``;
    - ``dejiao``: ``theta_i = beta1 + beta2 (p - i + 1)`` for ``i <= p = n // 2``, the others
      ``beta2`` (Zhang et al. 2018).

    Raises:
        BadInput: unknown `pattern`, or both constants zero (nothing would be penalised).
    """
    if pattern not in _PATTERNS:
        raise BadInput(
            f"`trial.sparsity.pattern` is unknown: {pattern!r}. {nearest(pattern, _PATTERNS)}"
        )
    if beta1 < 0 or beta2 < 0 or beta1 + beta2 == 0:
        raise BadInput(
            "`trial.sparsity.beta1` and `beta2` should be non-negative and not both 0. Found beta1"
            f" = {beta1}, beta2 = {beta2}."
        )
    return _PATTERNS[pattern](n, beta1, beta2)
