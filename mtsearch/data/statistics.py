"""Mean and standard deviation of the channels of arrays, block by block."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class ChannelStatistics:
    """Mean and standard deviation per channel of arrays (n, C, H, W), in float64 by the update of
    Chan, Golub & LeVeque (1983). The standard deviation of a channel of equal values is 0.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        self._count = 0
        self._mean, self._squares = np.zeros(channels), np.zeros(channels)
        self._least, self._largest = np.full(channels, np.inf), np.full(channels, -np.inf)

    def add(self, rows: NDArray[np.float32]) -> None:
        """Count a block (n, C, H, W) of finite values."""
        values = rows.swapaxes(0, 1).reshape(len(self._mean), -1).astype(np.float64)
        count = values.shape[1]
        if not count:
            return
        mean = values.mean(1)
        squares = ((values - mean[:, None]) ** 2).sum(1)
        total, step = self._count + count, mean - self._mean
        self._squares += squares + step**2 * self._count * count / total
        self._mean += step * count / total
        self._count = total
        self._least = np.minimum(self._least, values.min(1))
        self._largest = np.maximum(self._largest, values.max(1))

    def result(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each channel."""
        deviation = np.sqrt(self._squares / max(1, self._count))
        constant = self._least == self._largest  # rounding errors would not be exactly 0
        return self._mean.tolist(), np.where(constant, 0, deviation).tolist()
