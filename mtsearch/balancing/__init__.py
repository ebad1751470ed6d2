"""Balancing: how several losses become one update."""

from mtsearch.balancing.base import Balancing, Level, Step, balancing, build_balancing
from mtsearch.balancing.chebyshev import Chebyshev
from mtsearch.balancing.chebyshev_al import ChebyshevAL
from mtsearch.balancing.linear import Linear
from mtsearch.balancing.scalariser import Scalariser
from mtsearch.balancing.simplex import dual_weights, level, simplex_projection
from mtsearch.balancing.smooth_chebyshev import SmoothChebyshev

__all__ = [
    "Balancing",
    "Chebyshev",
    "ChebyshevAL",
    "Level",
    "Linear",
    "Scalariser",
    "SmoothChebyshev",
    "Step",
    "balancing",
    "build_balancing",
    "dual_weights",
    "level",
    "simplex_projection",
]
