"""Backbones whose weights stay in memory from trial to trial."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from mtsearch.config.base import Model
from mtsearch.models.base import Backbone

KEPT = 2  # backbones of a process whose weights are kept
_kept: OrderedDict[tuple[Any, ...], Backbone] = OrderedDict()


def forget() -> None:
    """Release the weights that are kept in this process."""
    _kept.clear()


def resident(
    build: Callable[[Any, tuple[int, ...]], Backbone],
    settings: Model,
    shape: tuple[int, ...],
) -> Backbone:
    """Return the backbone that `build` makes of the settings and the shape of the images.

    A backbone with a file of weights (`weights`) is made once in a process; its trunks are copies
    of the weights in memory, until the file changes. Networks on the meta device are not kept.

    Raises:
        BadInput: as `build`.
    """
    path = getattr(settings, "weights", None)
    if not isinstance(path, Path) or torch.get_default_device().type == "meta":
        return build(settings, shape)
    try:
        found = path.stat()
    except OSError:  # `build` says so
        return build(settings, shape)
    identity = (str(path.resolve()), found.st_ino, found.st_size, found.st_mtime_ns)
    # each trunk is frozen after it is made, see `build_backbone`
    key = (build, type(settings), settings.model_dump_json(exclude={"tune"}), shape, identity)
    if key not in _kept:
        _kept[key] = build(settings, shape)
    _kept.move_to_end(key)
    while len(_kept) > KEPT:
        _kept.popitem(last=False)
    return _kept[key]
