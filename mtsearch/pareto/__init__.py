"""Fronts: dominance, hypervolume, choice, Delta-m. Imports neither torch nor Ray."""

from mtsearch.pareto.choice import choose
from mtsearch.pareto.constraints import constraint_excess, feasible, total_excess
from mtsearch.pareto.delta import delta_m, measures_of, with_delta_m
from mtsearch.pareto.derived import DerivedMetrics
from mtsearch.pareto.dominance import non_dominated, objective_values, rank
from mtsearch.pareto.front import Front, front_of, front_rows
from mtsearch.pareto.objectives import MAX_OBJECTIVES, check_objectives
from mtsearch.pareto.ordering import best_first
from mtsearch.pareto.picking import by_preference, knee, normalised
from mtsearch.pareto.reference import Reference, reference_point
from mtsearch.pareto.result import SearchResult, search_result
from mtsearch.pareto.seeds import interval, merge_seeds, paired
from mtsearch.pareto.trial_names import configuration_of, repeat_of, trial_of, trial_order
from mtsearch.pareto.volume import (
    Hypervolume,
    hypervolume,
    hypervolume_series,
    measure_hypervolume,
)

__all__ = [
    "MAX_OBJECTIVES",
    "DerivedMetrics",
    "Front",
    "Hypervolume",
    "Reference",
    "SearchResult",
    "best_first",
    "by_preference",
    "check_objectives",
    "choose",
    "configuration_of",
    "constraint_excess",
    "delta_m",
    "feasible",
    "front_of",
    "front_rows",
    "hypervolume",
    "hypervolume_series",
    "interval",
    "knee",
    "measure_hypervolume",
    "measures_of",
    "merge_seeds",
    "non_dominated",
    "normalised",
    "objective_values",
    "paired",
    "rank",
    "reference_point",
    "repeat_of",
    "search_result",
    "total_excess",
    "trial_of",
    "trial_order",
    "with_delta_m",
]
