"""Fronts: dominance, hypervolume, choice, Delta-m. Imports neither torch nor Ray."""

from mtsearch.pareto.choice import by_preference, choose, knee, normalised
from mtsearch.pareto.delta import delta_m, measures_of, with_delta_m
from mtsearch.pareto.front import feasible, front_mask, front_rows, non_dominated, rank, values
from mtsearch.pareto.indicators import Reference, hypervolume, hypervolume_series, reference_point
from mtsearch.pareto.live_front import LiveFront
from mtsearch.pareto.ordering import best_first
from mtsearch.pareto.outcome import Outcome, outcome

__all__ = [
    "LiveFront",
    "Outcome",
    "Reference",
    "best_first",
    "by_preference",
    "choose",
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
    "values",
    "with_delta_m",
]
