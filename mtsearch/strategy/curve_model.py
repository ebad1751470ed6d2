"""Predicted results of trials and candidates, and the expected gain of candidates."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from mtsearch.pareto.curve_gp import CurveGP, Points
from mtsearch.pareto.scale import Scale
from mtsearch.strategy.curves import Observations
from mtsearch.strategy.improvement import Improvement

Floats = NDArray[np.float64]
BOX = 0.9  # the quantile of the first trials' results at which the box of the gain ends
SHARPNESS = 5.0  # of the user's preference, see `CurveModel.gain`
# A normal distribution as nine weighted points: the gain of a candidate is a weighted mean.
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(9)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


class CurveModel:
    """One `CurveGP` for each objective and constraint, each on its own `Scale`.

    Args:
        seen: the observations.
        units: (n, d) the configurations of the observations.
        waiting: (w, d) the configurations of running trials without a report. They are taken to
            reach the predicted results, so that a candidate beside one of them gains little
            (Ginsbourger, Le Riche & Carraro 2010, "kriging believer").
        objectives: their number; further columns of the values are constraints.
        categorical: (d,) the columns that are compared by equality.
    """

    def __init__(
        self,
        seen: Observations,
        units: Floats,
        waiting: Floats,
        objectives: int,
        categorical: NDArray[np.bool_],
    ) -> None:
        points = Points(units, seen.left, seen.trials)
        self._objectives = objectives
        last = seen.values[seen.last]
        self._scales = [Scale(last[:, m], log=m < objectives) for m in range(seen.values.shape[1])]
        self._models = [
            CurveGP(points, scale.forward(seen.values[:, m]), categorical)
            for m, scale in enumerate(self._scales)
        ]
        # (t, k + m) the results of the trials with an observation, predicted where they are not
        # known, and of the waiting ones
        self.finals = self._backward([g.predict_trials(seen.last)[0] for g in self._models])
        known = seen.left[seen.last] == 0
        self.finals[known] = last[known]
        if len(waiting):
            self.finals = np.concatenate(
                [self.finals, self._backward([g.predict(waiting)[0] for g in self._models])]
            )
            for model in self._models:
                model.believe(waiting)

    def _backward(self, predicted: list[Floats]) -> Floats:
        return np.stack(
            [s.backward(p) for s, p in zip(self._scales, predicted, strict=True)], axis=1
        )

    def gain(
        self,
        axes: NDArray[np.int64],
        kept: NDArray[np.bool_],
        first: int,
        preference: Floats | None = None,
    ) -> Callable[[Floats], Floats]:
        """The function from candidates (n, d) to their expected gains (n,).

        With a preference p, which sums to 1, a gain is multiplied by exp(-`SHARPNESS` * s), where
        s = k max_j p_j z_j is the augmented Tchebycheff scalar (Steuer & Choo 1983; 0.05 times the
        sum is added) of the k expected objectives z, scaled so that the best result is 0 and the
        corner of the box is 1. No gain becomes 0, so the whole front is still found.

        Args:
            axes: the objectives that count.
            kept: (t + w,) the trials, in the order of `finals`, whose results the gain is over.
            first: so many trials, the first ones, give the box of the gain.
            preference: (k,) positive weights of these objectives; None for none.
        """
        results = self.finals[:, axes]
        corner = np.quantile(results[:first], BOX, axis=0)
        span = np.maximum(corner - results.min(axis=0), 1e-9)
        satisfied = (self.finals[:, self._objectives :] <= 0).all(axis=1)
        improvement = Improvement(results[kept & satisfied], results.min(axis=0) + span)

        def expected(units: Floats) -> Floats:
            drawn = np.empty((len(axes), len(units), len(_NODES)))
            for i, m in enumerate(axes.tolist()):
                mean, spread = self._models[m].predict(units)
                drawn[i] = self._scales[m].backward(mean[:, None] + spread[:, None] * _NODES)
            found = improvement(drawn, _WEIGHTS)
            if preference is not None:
                scaled = (drawn @ _WEIGHTS - results.min(axis=0)[:, None]) / span[:, None]
                weighted = len(axes) * preference[:, None] / preference.sum() * scaled
                scalar = weighted.max(axis=0) + 0.05 * weighted.sum(axis=0)
                found = found * np.exp(-SHARPNESS * np.maximum(scalar, 0.0))
            for m in range(self._objectives, len(self._models)):
                mean, spread = self._models[m].predict(units)
                bound = float(self._scales[m].forward(np.zeros(1))[0])
                found = found * ndtr((bound - mean) / spread)
            return found

        return expected
