"""Sparsity: GrOWL's zero rows, tied rows, and their measures. It works on plain modules and the
names of those whose rows may become zero."""

from mtsearch.sparsity.clustering import AFFINITY_LIMIT
from mtsearch.sparsity.growl import growl_prox, growl_weights, owl_value, prox_strength
from mtsearch.sparsity.measures import measures, row_totals
from mtsearch.sparsity.pruning import Pruning
from mtsearch.sparsity.rows import prunable_layers, row_matrix, row_norms, zero_rows
from mtsearch.sparsity.sharing import find_sharing
from mtsearch.sparsity.sparsifier import Sparsifier
from mtsearch.sparsity.structure import Structure
from mtsearch.sparsity.tying import tie_, untie_

__all__ = [
    "AFFINITY_LIMIT",
    "Pruning",
    "Sparsifier",
    "Structure",
    "find_sharing",
    "growl_prox",
    "growl_weights",
    "measures",
    "owl_value",
    "prox_strength",
    "prunable_layers",
    "row_matrix",
    "row_norms",
    "row_totals",
    "tie_",
    "untie_",
    "zero_rows",
]
