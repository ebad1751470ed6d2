"""Fronts: dominance, hypervolume, choice, Delta-m. Imports neither torch nor Ray."""

from mtsearch.pareto.choice import by_preference, choose, knee, normalised
from mtsearch.pareto.constraints import constraint_excess, feasible, total_excess
from mtsearch.pareto.delta import delta_m, measures_of, with_delta_m
from mtsearch.pareto.front import front_mask, front_rows, non_dominated, rank, values
from mtsearch.pareto.indicators import Reference, hypervolume, hypervolume_series, reference_point
from mtsearch.pareto.live_front import LiveFront
from mtsearch.pareto.ordering import best_first
from mtsearch.pareto.outcome import Outcome, outcome
from mtsearch.pareto.trial_order import trial_order

__all__ = [
    "LiveFront",
    "Outcome",
    "Reference",
    "best_first",
    "by_preference",
    "choose",
    "constraint_excess",
    "delta_m",
    "feasible",
    "front_mask",
    "front_rows",
    "hypervolume",
    "hypervolume_series",
    "knee",
    "measures_of",
    "non_dominated",
    "normalised",
    "outcome",
    "rank",
    "reference_point",
    "total_excess",
    "trial_order",
    "values",
    "with_delta_m",
]
