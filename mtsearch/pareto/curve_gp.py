"""A Gaussian process over configurations and the part of the training that is done."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, solve_triangular
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize

Floats = NDArray[np.float64]
_JITTER = 1e-6
_FIT_POINTS = 120  # at most as many points choose the hyperparameters
_FIT_STEPS = 16
_ROOT5 = 5**0.5


@dataclass(frozen=True)
class Points:
    """Observations of learning curves.

    Args:
        units: (n, d) configurations in [0, 1].
        left: (n,) how much of the training is left: 1 at the first report, 0 at the end,
            logarithmic in the reports.
        trials: (n,) the index of each observation's trial.
    """

    units: Floats
    left: Floats
    trials: NDArray[np.int64]

    def take(self, rows: NDArray[np.int64]) -> Points:
        """Some of the observations."""
        return Points(self.units[rows], self.left[rows], self.trials[rows])

    def join(self, more: Points) -> Points:
        """These observations and more."""
        return Points(
            np.concatenate([self.units, more.units]),
            np.concatenate([self.left, more.left]),
            np.concatenate([self.trials, more.trials]),
        )


class CurveGP:
    """Predicts the value at the end of the training from values on the way.

    A curve is y(x, l) = g(x) + l (b + h(x)) + w(x, 1 - l) + e + v(1 - l), where l is the part of
    the training that is left (logarithmic). g is the level, b + h(x) the slope, and w a random
    walk in 1 - l: the longer the way from the last report to the end, the less certain the
    result. g, h and w have one Matern 5/2 kernel over configurations. e is noise of the trial and
    v its random walk. (Freeze-thaw optimisation, Swersky, Snoek & Adams 2014, has an exponential
    decay in place of the slope and the walk.) The hyperparameters maximise the posterior density
    on at most `_FIT_POINTS` observations.

    Args:
        points: the observations.
        values: (n,) their values, about standardised.
        categorical: (d,) the columns that are compared by equality.
    """

    def __init__(self, points: Points, values: Floats, categorical: NDArray[np.bool_]) -> None:
        self._points, self._categorical = points, categorical
        width = points.units.shape[1]
        self._prior_mean = np.concatenate(
            [
                np.full(width, np.log(0.5 * max(width, 3) ** 0.5)),
                np.log([1.0, 0.3, 0.1, 1e-3, 3e-2]),
            ]
        )
        self._prior_scale = np.concatenate([np.full(width, 0.8), [0.8, 1.0, 1.0, 1.5, 1.2]])
        self._shift = float(values.mean())
        self._values = values - self._shift
        self._theta = self._fit()
        self._condition()

    def predict(self, units: Floats, left: Floats | float = 0.0) -> tuple[Floats, Floats]:
        """The mean (n,) and the standard deviation (n,) of new trials' values, without noise of
        the trial."""
        n = len(units)
        new = Points(units, np.broadcast_to(np.asarray(left, float), (n,)), np.full(n, -1))
        cross = self._kernel(self._theta, new, self._points)
        return self._posterior(cross, self._variance(new, noise=False))

    def predict_trials(self, rows: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """The mean and the standard deviation at the end of the training of the trials whose
        observations `rows` are."""
        new = Points(self._points.units[rows], np.zeros(len(rows)), self._points.trials[rows])
        cross = self._kernel(self._theta, new, self._points)
        return self._posterior(cross, self._variance(new, noise=True))

    def believe(self, units: Floats) -> None:
        """Add results (n,) at these configurations that equal their predictions."""
        mean, _ = self.predict(units)
        n = len(units)
        more = Points(units, np.zeros(n), self._points.trials.max(initial=0) + 1 + np.arange(n))
        self._points = self._points.join(more)
        self._values = np.concatenate([self._values, mean - self._shift])
        self._condition()

    def _condition(self) -> None:
        covariance = self._kernel(self._theta, self._points, self._points)
        self._factor = _factor(covariance)
        self._weights = cho_solve((self._factor, True), self._values)

    def _posterior(self, cross: Floats, variance: Floats) -> tuple[Floats, Floats]:
        mean = cross @ self._weights + self._shift
        half = solve_triangular(self._factor, cross.T, lower=True, check_finite=False)
        left = np.maximum(variance - (half**2).sum(axis=0), 1e-10)
        return mean, np.sqrt(left)

    def _variance(self, points: Points, noise: bool) -> Floats:
        gain, slope, walk, noise_end, noise_walk = np.exp(self._theta[-5:])
        found: Floats = gain + points.left**2 * (slope + 1.0) + walk * (1 - points.left)
        if noise:
            found = found + noise_end + noise_walk * (1 - points.left)
        return found

    def _kernel(self, theta: Floats, one: Points, two: Points) -> Floats:
        gain, slope, walk, noise_end, noise_walk = np.exp(theta[-5:])
        matern = _matern(self._distances(one, two, np.exp(theta[:-5])))
        product = np.outer(one.left, two.left)
        done = 1 - np.maximum.outer(one.left, two.left)
        same = (one.trials[:, None] == two.trials[None]) & (one.trials[:, None] >= 0)
        noise = np.where(same, noise_end + done * noise_walk, 0.0)
        found: Floats = (gain + product * slope + done * walk) * matern + product + noise
        return found

    def _distances(self, one: Points, two: Points, scales: Floats) -> Floats:
        """The distances (n, m) of configurations, each column divided by its length scale."""
        number = ~self._categorical
        left, right = one.units[:, number] / scales[number], two.units[:, number] / scales[number]
        squared = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1) - 2 * left @ right.T
        for column in np.flatnonzero(self._categorical):
            apart = one.units[:, column, None] != two.units[None, :, column]
            squared += apart / scales[column] ** 2
        distances: Floats = np.sqrt(np.maximum(squared, 0.0))
        return distances

    def _fit(self) -> Floats:
        """The hyperparameters: logarithms of the length scales and of the variances of g, h, w,
        e and v."""
        rows = np.arange(len(self._values))
        if len(rows) > _FIT_POINTS:
            # the points with the least left, where the final values are, and the latest ones
            rows = np.sort(np.lexsort((-rows, self._points.left))[:_FIT_POINTS])
        points, values = self._points.take(rows), self._values[rows]
        gaps = points.units.T[:, :, None] - points.units.T[:, None, :]
        gaps[self._categorical] = gaps[self._categorical] != 0
        flat = (gaps**2).reshape(len(gaps), -1)
        product = np.outer(points.left, points.left)
        done = 1 - np.maximum.outer(points.left, points.left)
        same = points.trials[:, None] == points.trials[None]
        start = self._prior_mean

        def loss(theta: Floats) -> tuple[float, Floats]:
            scales = np.exp(-2 * theta[:-5])
            gain, slope, walk, noise_end, noise_walk = np.exp(theta[-5:])
            distance = _ROOT5 * np.sqrt(scales @ flat).reshape(product.shape)
            decay = np.exp(-distance)
            rising = (1 + distance) * decay
            matern = rising + distance**2 / 3 * decay
            mix = gain + product * slope + done * walk
            noise = same * (noise_end + done * noise_walk)
            covariance = mix * matern + product + noise
            covariance[np.diag_indices_from(covariance)] += _JITTER
            try:
                factor = np.linalg.cholesky(covariance)
            except np.linalg.LinAlgError:
                return 1e10, np.zeros_like(theta)
            weights = cho_solve((factor, True), values, check_finite=False)
            inverse, _ = dpotri(factor, lower=1)
            inverse = np.tril(inverse) + np.tril(inverse, -1).T
            outer = np.outer(weights, weights) - inverse
            # d matern / d log(scale_j) = 5/3 (1 + sqrt5 r) exp(-sqrt5 r) d_j^2 / scale_j^2
            slopes = outer * mix * rising * (5 / 3)
            gradient = np.empty_like(theta)
            gradient[:-5] = (flat @ slopes.ravel()) * scales
            smooth = outer * matern
            gradient[-5] = gain * smooth.sum()
            gradient[-4] = slope * (smooth * product).sum()
            gradient[-3] = walk * (smooth * done).sum()
            gradient[-2] = noise_end * outer[same].sum()
            gradient[-1] = noise_walk * (outer * done)[same].sum()
            off = (theta - self._prior_mean) / self._prior_scale
            value = 0.5 * values @ weights + np.log(np.diag(factor)).sum() + 0.5 * float(off @ off)
            return float(value), -0.5 * gradient + off / self._prior_scale

        bounds = [(m - 4 * s, m + 4 * s) for m, s in zip(start, self._prior_scale, strict=True)]
        found = minimize(
            loss,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": _FIT_STEPS, "maxfun": _FIT_STEPS},
        )
        theta: Floats = found.x
        return theta


def _factor(covariance: Floats) -> Floats:
    """The Cholesky factor, with more on the diagonal where rounding makes that necessary."""
    one = np.eye(len(covariance))
    for jitter in (_JITTER, 1e-4, 1e-2):
        try:
            return np.asarray(np.linalg.cholesky(covariance + jitter * one), dtype=np.float64)
        except np.linalg.LinAlgError:
            continue
    return np.asarray(np.linalg.cholesky(covariance + one), dtype=np.float64)


def _matern(distance: Floats) -> Floats:
    scaled = _ROOT5 * distance
    found: Floats = (1 + scaled + scaled**2 / 3) * np.exp(-scaled)
    return found
