"""Fronts: dominance, hypervolume, choice, Delta-m, tables, pictures and the report page. Imports neither torch nor ray."""

from mtsearch.pareto.choice import by_preference, choose, knee, normalised
from mtsearch.pareto.delta import delta_m, measures_of, with_delta_m
from mtsearch.pareto.front import feasible, front_mask, front_rows, non_dominated, rank, values
from mtsearch.pareto.indicators import Reference, hypervolume, hypervolume_series, reference_point
from mtsearch.pareto.live_front import LiveFront
from mtsearch.pareto.ordering import best_first
from mtsearch.pareto.outcome import Outcome, outcome
from mtsearch.pareto.tables import derive

__all__ = [
    "LiveFront",
    "Outcome",
    "Reference",
    "best_first",
    "by_preference",
    "choose",
    "delta_m",
    "derive",
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
