"""A monotone scale of one objective for a model: linear where values are good, logarithmic where
they are bad."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Scale:
    """Maps values y, all minimised, to z = (y - median) / (median - 10 % quantile), and z > 0 to
    log(1 + z): a diverged trial says little about good ones. Where all values are above 0, y is the
    logarithm: errors and losses fall by powers of the training's length.

    Args:
        values: (n,) observed values.
        log: whether positive values may be taken as logarithms.
    """

    def __init__(self, values: Floats, log: bool = True) -> None:
        self._log = log and bool(values.min() > 0)
        if self._log:
            values = np.log(values)
        self._centre = float(np.median(values))
        below = self._centre - float(np.quantile(values, 0.1))
        spread = float(values.std())
        self._unit = max(below, 0.1 * spread, 1e-12 + 1e-9 * abs(self._centre))

    def forward(self, values: Floats) -> Floats:
        """To the model's scale."""
        values = np.log(np.maximum(values, 1e-300)) if self._log else values
        z = (values - self._centre) / self._unit
        return np.where(z > 0, np.log1p(np.maximum(z, 0)), z)

    def backward(self, scaled: Floats) -> Floats:
        """The inverse of `forward`."""
        z = np.where(scaled > 0, np.expm1(np.minimum(scaled, 50.0)), scaled)
        values = z * self._unit + self._centre
        return np.exp(np.minimum(values, 700.0)) if self._log else values
