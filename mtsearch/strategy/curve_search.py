"""The `curves` sampler: configurations with a high expected gain in hypervolume at the end of the
training, predicted from all reports of all trials."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtsearch.config.space import Space
from mtsearch.pareto import non_dominated
from mtsearch.strategy.curve_model import CurveModel
from mtsearch.strategy.curves import Curves
from mtsearch.strategy.encoding import Encoder
from mtsearch.strategy.prior import Prior
from mtsearch.strategy.start import find_dimension

Floats = NDArray[np.float64]
MOST_POINTS = 320  # observations of a model; each trial keeps its last one
JOINT = 4  # objectives that an expected gain is computed over; see `propose`
UNIFORM, LOCAL = 300, 200  # candidates: over the whole space, and near the predicted front
STEPS, BEST, EACH = (0.1, 0.04, 0.015), 8, 12  # then, step by step, near the best candidates
PROPOSALS = 16


class CurveSampler:
    """The sampler of one search: its curves and its proposals.

    Args:
        space: what is searched.
    """

    def __init__(self, space: Space) -> None:
        search, config = space.config.search, space.config
        self.curves = Curves(config.objectives, config.constraints)
        encoder = Encoder(space.dimensions)
        by_path = {one.path: one for one in space.dimensions}
        beliefs = {
            find_dimension(space, path, "search.prior").path: (belief.around, belief.width)
            for path, belief in search.prior.items()
        }
        self._search = CurveSearch(
            encoder,
            len(config.objectives),
            search.sampler.startup,
            Prior(encoder, by_path, beliefs),
            np.array([search.preference.get(o.metric, 1.0) for o in config.objectives])
            if search.preference
            else None,
        )
        self._seed = search.seed

    def propose(self, number: int) -> list[dict[str, Any]]:
        """Parameters by name for the trial of this number, the best first."""
        return self._search.propose(self.curves, np.random.default_rng([self._seed, number]))


class CurveSearch:
    """Proposes configurations.

    A Gaussian process for each objective and constraint predicts results (`CurveGP`). A candidate's
    score is its expected hypervolume improvement (`Improvement`) over the results so far and the
    predicted results of running trials, times the probability that it satisfies each constraint,
    times the prior's weight (`Prior`). The hypervolume's box ends at the 90 % quantile of the
    results, measured or predicted, of the first `startup` trials, which were drawn from the prior
    or at random.

    With more than `JOINT` objectives the gain of a proposal is computed over `JOINT` of them,
    drawn anew for each proposal: the number of boxes grows as n^(k - 1).

    Args:
        encoder: of the space.
        objectives: their number.
        startup: trials before the first model.
        prior: where good values are expected.
        preference: (objectives,) how much each objective matters to the user; None where all count
            the same.
    """

    def __init__(
        self,
        encoder: Encoder,
        objectives: int,
        startup: int,
        prior: Prior,
        preference: Floats | None = None,
    ) -> None:
        self._encoder, self._objectives = encoder, objectives
        self._startup, self._prior, self._preference = startup, prior, preference

    def propose(self, curves: Curves, draw: np.random.Generator) -> list[dict[str, Any]]:
        """Parameters by name, the best proposal first. They depend on the curves and the generator
        alone."""
        seen = curves.observations(MOST_POINTS)
        if len(seen.last) < self._startup or not self._encoder.width:
            return [self._encoder.decode(u) for u in self._prior.draw(PROPOSALS, draw)]
        encoded = {n: self._encoder.encode(c.params) for n, c in curves.trials.items()}
        known = seen.numbers.tolist()
        fresh = sorted(
            n for n, c in curves.trials.items() if c.state == "running" and n not in set(known)
        )
        model = CurveModel(
            seen,
            np.array([encoded[n] for n in seen.trials.tolist()]),
            np.array([encoded[n] for n in fresh]),
            self._objectives,
            self._encoder.categorical,
        )
        axes = np.arange(self._objectives)
        if self._objectives > JOINT:
            axes = np.sort(draw.choice(axes, JOINT, replace=False))
        kept = [curves.trials[n].state in ("done", "running") for n in [*known, *fresh]]
        wish = None if self._preference is None else self._preference[axes]
        expected = model.gain(axes, np.array(kept), self._startup, wish)

        def gain(units: Floats) -> Floats:
            return expected(units) * self._prior.weight(units, len(curves.trials))

        front = non_dominated(model.finals[:, : self._objectives], ["min"] * self._objectives)
        near = np.array([encoded[n] for n in [*known, *fresh]])[front]
        near = near[draw.permutation(len(near))[:20]]
        near = np.repeat(near, -(-LOCAL // len(near)), axis=0)
        pool = np.concatenate(
            [self._encoder.uniform(UNIFORM, draw), self._encoder.perturb(near, 0.15, draw)]
        )
        gains = gain(pool)
        for step in STEPS:
            best = np.argsort(-gains, kind="stable")[:BEST]
            more = self._encoder.perturb(np.repeat(pool[best], EACH, axis=0), step, draw)
            pool, gains = np.concatenate([pool, more]), np.concatenate([gains, gain(more)])
        order = np.argsort(-gains, kind="stable")[:PROPOSALS]
        return [self._encoder.decode(pool[i]) for i in order]
