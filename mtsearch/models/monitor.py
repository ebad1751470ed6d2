"""The default monitor, for backbones that define none of their own."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from mtsearch.models.base import Branch, Need
from mtsearch.models.resize import PoolTo


def small_monitor(
    shape: tuple[int, int, int],
    width: int,
    map_shape: tuple[int, int, int] | None,
    needs: Sequence[Need],
) -> Branch:
    """Build a 5x5 convolution to 32 channels, a 3x3 convolution to 64 channels, and a layer to the
    output size of the trunk.

    Args:
        shape: (channels, height, width) of the images.
        width: length of the feature vector.
        map_shape: (channels, h, w) of the feature map; None if the backbone has none.
        needs: the outputs of the branch.
    """
    body = nn.Sequential(
        nn.Conv2d(shape[0], 32, 5, padding=2),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(64),
        nn.ReLU(),
    )
    if "map" in needs and map_shape is not None:
        body.extend([nn.Conv2d(64, map_shape[0], 1), PoolTo(map_shape[1:]), nn.ReLU()])
        return Branch(body, nn.Identity(), needs)
    body.append(PoolTo((4, 4)))
    return Branch(body, nn.Sequential(nn.Flatten(), nn.Linear(64 * 16, width), nn.ReLU()), needs)
