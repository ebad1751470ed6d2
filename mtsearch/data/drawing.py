"""Synthetic aerial scenes with a land cover per pixel, drawn from a seed. They replace
remote-sensing datasets, whose licences do not allow redistribution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from mtsearch.data.splits import stream
from mtsearch.data.textures import CLUTTER, COVERS, Cover, Values, noise, uniform

SIZE = 64  # side of a scene, in pixels
_PIECE = 256  # scenes drawn at once


@dataclass(frozen=True)
class Scenes:
    """Drawn scenes.

    Attributes:
        images: uint8 (N, 64, 64, 3).
        masks: uint8 (N, 64, 64), cover numbers; the number after the last cover is "undefined".
        labels: int64 (N,), the most frequent cover.
    """

    images: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    labels: NDArray[np.int64]


def draw_scenes(covers: Sequence[str], count: int, seed: int) -> Scenes:
    """Draw ``count`` scenes in random order, with each cover as the intended main cover equally
    often."""
    pieces = [
        _draw(
            [COVERS[name] for name in covers],
            start,
            min(_PIECE, count - start),
            stream(seed, start),
        )
        for start in range(0, count, _PIECE)
    ]
    images, masks = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    shares = np.stack([(masks == number).sum((1, 2)) for number in range(len(covers))])
    return Scenes(images, masks, shares.argmax(0).astype(np.int64))


def _draw(
    covers: Sequence[Cover], first: int, count: int, random: RandomState
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    masks = _land(
        len(covers),
        (np.arange(first, first + count) % len(covers))[random.permutation(count)],
        random,
    )
    pixels = np.zeros((count, SIZE, SIZE, 3), np.int32)
    for number, cover in enumerate((*covers, CLUTTER)):
        here = np.flatnonzero((masks == number).any((1, 2)))
        if len(here):
            painted = _paint(cover, len(here), random)
            part = pixels[here]
            chosen = masks[here] == number
            part[chosen] = painted[chosen]
            pixels[here] = part
    light = uniform(random, 150, 330, count, 1, 1, 1)  # brightness (sun and haze), in 256ths
    cast = uniform(random, 236, 277, count, 1, 1, 3)
    grain = uniform(random, -14, 15, count, SIZE, SIZE, 3)
    return np.clip((pixels * light * cast >> 16) + grain, 0, 255).astype(np.uint8), masks.astype(
        np.uint8
    )


def _land(covers: int, main: NDArray[np.int64], random: RandomState) -> Values:
    """Masks (N, 64, 64): the main cover on 45 to 90 percent of the pixels, two others on the rest,
    and undefined parts over them."""
    count = len(main)
    others = (
        main[:, None]
        + 1
        + np.argsort(uniform(random, 0, 1 << 30, count, covers - 1), axis=1, kind="stable")[:, :2]
    ) % covers
    masks = np.where(noise(random, count, SIZE, 20) < 128, others[:, :1, None], others[:, 1:, None])
    masks = np.where(
        _lowest(noise(random, count, SIZE, 24), uniform(random, 45, 91, count)),
        main[:, None, None],
        masks,
    )
    # In half of the scenes no pixel is undefined.
    share = np.maximum(uniform(random, -15, 16, count), 0)
    return np.where(_lowest(noise(random, count, SIZE, 16), share), covers, masks).astype(np.int32)


def _lowest(values: Values, share: Values) -> NDArray[np.bool_]:
    """Which pixels have the lowest ``share`` (N,), in percent, of an image's values; ties are
    excluded."""
    ranked = np.sort(values.reshape(len(values), -1), axis=1)
    place = share * (ranked.shape[1] - 1) // 100
    return values < ranked[np.arange(len(values)), place][:, None, None]


def _paint(cover: Cover, count: int, random: RandomState) -> Values:
    pattern = cover.pattern(random, count, SIZE)[..., None]
    dark, light = (
        np.array(colour, np.int32) + uniform(random, -16, 17, count, 1, 1, 3)
        for colour in (cover.dark, cover.light)
    )
    return dark + ((light - dark) * pattern >> 8)
