"""Arrays in the files of numpy."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtsearch.config.errors import BadInput

_MAGIC = b"\x93NUMPY"


def is_npy(content: bytes) -> bool:
    """Whether a file has the format of `numpy.save`."""
    return content.startswith(_MAGIC)


def read_npy(content: bytes, where: str) -> NDArray[Any]:
    """An array of numbers from the bytes of a `.npy` file, without pickled objects.

    Args:
        content: bytes of the file.
        where: name of the file in messages.

    Raises:
        BadInput: the file is damaged, or contains other things than numbers.
    """
    try:
        shape, dtype = _header(content)
        if dtype.kind not in "uifb":
            raise ValueError(f"its type is {dtype}")
        # before memory is allocated for it
        if math.prod(shape) * dtype.itemsize > len(content):
            raise ValueError(f"it is too short for the shape {shape}")
        found: NDArray[Any] = np.load(io.BytesIO(content), allow_pickle=False)
    except Exception as error:  # of a header that is not what numpy writes
        raise BadInput(
            f"The array {where} cannot be read ({' '.join(str(error).split())}); save numbers with"
            " `numpy.save`."
        ) from error
    return found


def _header(content: bytes) -> tuple[tuple[int, ...], np.dtype[Any]]:
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise ValueError(f"version {version} of the format is unknown")
    shape, _, dtype = read(file)
    return shape, dtype
