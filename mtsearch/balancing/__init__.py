"""Balancing: how several losses become one update."""

from mtsearch.balancing.chebyshev import Chebyshev
from mtsearch.balancing.chebyshev_al import ChebyshevAL
from mtsearch.balancing.linear import Linear
from mtsearch.balancing.scalariser import Scalariser, build_scalariser, scalariser
from mtsearch.balancing.simplex import dual_weights, level, simplex_projection
from mtsearch.balancing.smooth_chebyshev import SmoothChebyshev

__all__ = [
    "Chebyshev",
    "ChebyshevAL",
    "Linear",
    "Scalariser",
    "SmoothChebyshev",
    "build_scalariser",
    "dual_weights",
    "level",
    "scalariser",
    "simplex_projection",
]
