"""Land-cover textures drawn from a seed in integer arithmetic, with the same bytes on every
machine.

A texture is a pattern (N, S, S) of values 0..255; a cover maps it to colours between a dark and a
light one. Covers differ by their patterns: their colours are similar and vary between scenes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

Values = NDArray[np.int32]
Colour = tuple[int, int, int]
# All of length 4, approximately.
_DIRECTIONS = np.array(
    [(4, 0), (0, 4), (3, 3), (3, -3), (4, 2), (2, 4), (4, -2), (2, -4)], np.int32
)


def uniform(random: RandomState, low: int, high: int, *shape: int) -> Values:
    """Random integers in [``low``, ``high``), of shape ``shape``."""
    return random.randint(low, high, shape, dtype=np.int32)


def noise(random: RandomState, count: int, size: int, cell: int) -> Values:
    """Smooth noise (N, S, S) in 0..255: random values on a lattice with ``cell`` pixels spacing,
    interpolated bilinearly."""
    lattice = uniform(random, 0, 256, count, size // cell + 2, size // cell + 2)
    low, part = np.divmod(np.arange(size, dtype=np.int32), cell)
    rows = lattice[:, low] * (cell - part)[:, None] + lattice[:, low + 1] * part[:, None]
    return (rows[:, :, low] * (cell - part) + rows[:, :, low + 1] * part) // (cell * cell)


def grass(random: RandomState, count: int, size: int) -> Values:
    """Smooth patches with weak noise."""
    return (
        2 * noise(random, count, size, 12)
        + noise(random, count, size, 4)
        + noise(random, count, size, 2)
    ) // 4


def forest(random: RandomState, count: int, size: int) -> Values:
    """Tree crowns: noise of high contrast."""
    crowns = noise(random, count, size, 4)
    return np.clip(2 * crowns - 128 + noise(random, count, size, 16) // 4, 0, 255)


def water(random: RandomState, count: int, size: int) -> Values:
    """Nearly one colour, with low-frequency, weak noise."""
    return 64 + noise(random, count, size, 24) // 2 + noise(random, count, size, 2) // 16


def field(random: RandomState, count: int, size: int) -> Values:
    """Furrows: stripes with one direction and period per scene, over parcels of different
    brightness."""
    y, x = _grid(size)
    direction = _DIRECTIONS[uniform(random, 0, len(_DIRECTIONS), count)][:, :, None, None]
    period = uniform(random, 12, 32, count, 1, 1)  # in quarters of a pixel
    along = (direction[:, 0] * x + direction[:, 1] * y) % period
    stripes = 255 * np.abs(2 * along - period) // period
    parcels = _blocks(random, count, size, low=20, high=33, gap=0)
    return (stripes + 2 * parcels + noise(random, count, size, 2)) // 4


def industry(random: RandomState, count: int, size: int) -> Values:
    """Industrial halls: wide roofs with yards in between."""
    return (
        3 * _blocks(random, count, size, low=14, high=22, gap=4) + noise(random, count, size, 3)
    ) // 4


def resident(random: RandomState, count: int, size: int) -> Values:
    """Houses: small roofs in rows."""
    return (
        3 * _blocks(random, count, size, low=6, high=10, gap=3) + noise(random, count, size, 3)
    ) // 4


def parking(random: RandomState, count: int, size: int) -> Values:
    """Rows of parked cars: dots, with a lane between every two rows."""
    y, x = _grid(size)
    pitch = uniform(random, 3, 5, count, 1, 1)
    cars = _cells(random, count, x // pitch, y // pitch)
    dots = np.where((x % pitch > 0) & (y % (3 * pitch) < 2 * pitch) & (y % pitch > 0), cars, 90)
    return (3 * dots + noise(random, count, size, 3)) // 4


def builtup(random: RandomState, count: int, size: int) -> Values:
    """Roofs of any width."""
    return (
        3 * _blocks(random, count, size, low=6, high=20, gap=3) + noise(random, count, size, 3)
    ) // 4


def clutter(random: RandomState, count: int, size: int) -> Values:
    """A texture that belongs to no cover."""
    return (noise(random, count, size, 3) + noise(random, count, size, 6)) // 2


@dataclass(frozen=True)
class Cover:
    """A pattern and the colours of its darkest and lightest values."""

    pattern: Callable[[RandomState, int, int], Values]
    dark: Colour
    light: Colour


COVERS = {
    "grass": Cover(grass, (70, 95, 50), (150, 160, 105)),
    "meadow": Cover(grass, (80, 100, 55), (160, 165, 110)),
    "field": Cover(field, (75, 90, 50), (165, 155, 110)),
    "farmland": Cover(field, (75, 90, 50), (165, 155, 110)),
    "forest": Cover(forest, (45, 70, 40), (125, 140, 90)),
    "water": Cover(water, (50, 80, 75), (115, 130, 125)),
    "industry": Cover(industry, (85, 85, 85), (205, 200, 200)),
    "resident": Cover(resident, (80, 85, 75), (195, 180, 170)),
    "parking": Cover(parking, (75, 75, 80), (195, 195, 200)),
    "builtup": Cover(builtup, (80, 80, 80), (200, 190, 185)),
}
CLUTTER = Cover(clutter, (65, 75, 60), (170, 160, 140))


def _grid(size: int) -> tuple[Values, Values]:
    rows, columns = np.mgrid[:size, :size].astype(np.int32)
    return rows, columns


def _blocks(random: RandomState, count: int, size: int, *, low: int, high: int, gap: int) -> Values:
    """Blocks of a width in [``low``, ``high``), one per scene, ``gap`` dark pixels apart, in
    slanted rows; a fifth of the blocks is left out."""
    y, x = _grid(size)
    pitch = uniform(random, low, high, count, 1, 1)
    lean = uniform(random, -6, 7, count, 1, 1)
    x, y = x + (lean * y >> 4) + size, y - (lean * x >> 4) + size  # positive for every slant
    shade = _cells(random, count, x // pitch, y // pitch)
    empty = 50 + shade // 8
    return (
        np.where((x % pitch >= gap) & (y % pitch >= gap) & (shade >= 51), shade, empty)
        if gap
        else shade
    )


def _cells(random: RandomState, count: int, x: Values, y: Values) -> Values:
    """A random value per cell, looked up at the cell numbers (N, S, S)."""
    values = uniform(random, 0, 256, count, 64, 64)
    return values[np.arange(count)[:, None, None], y % 64, x % 64]
