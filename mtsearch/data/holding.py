"""Whether a dataset is held in the memory of each process or read from its store."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mtsearch.config.cards import DatasetCard
from mtsearch.config.schema import DataConfig
from mtsearch.data.decoding import is_image
from mtsearch.data.formats import LabelledImages
from mtsearch.data.inventory import sizes

SHARE = 16  # a dataset is small if it takes less than this part of the memory
LARGE = 2 << 30  # bytes of decoded images, above which files are kept
_CGROUP = Path("/sys/fs/cgroup/memory.max")


def machine_memory() -> int:
    """Bytes of memory that processes here may use: of the machine, within the limit of its control
    group."""
    text = Path("/proc/meminfo").read_text(encoding="ascii")
    total = 1024 * int(next(line for line in text.splitlines() if "MemTotal" in line).split()[1])
    try:
        return min(total, int(_CGROUP.read_text(encoding="ascii")))
    except (OSError, ValueError):  # no control groups, or no limit
        return total


def held_bytes(manifest: dict[str, Any]) -> int:
    """Bytes of a dataset in memory, with classes of pixels as int64."""
    total = 0
    for name, about in manifest["arrays"].items():
        dtype = np.dtype(about["dtype"])
        masks = dtype == np.uint8 and "/labels/" in name and len(about["shape"]) == 3
        total += math.prod(about["shape"]) * (8 if masks else dtype.itemsize)
    return total + sum(math.prod(about["shape"]) for about in manifest.get("encoded", {}).values())


def keeps_files(card: DatasetCard, found: dict[str, LabelledImages]) -> bool:
    """Whether `data.format: auto` keeps the image files: the decoded images would take more than
    2 GB and twice the bytes of the files."""
    count = size = 0
    for images in found.values():
        files = [name for name in images.files if is_image(name)]
        count += len(files)
        size += sum(length for _, length in sizes(images.tree, files))
    decoded = count * math.prod(card.shape)
    return decoded > LARGE and decoded > 2 * size


def streams(data: DataConfig, manifest: dict[str, Any]) -> bool:
    """Whether the images stay in the store: as `data.load` says, or if they are kept as files or
    take a sixteenth of the memory of the machine or of its GPU."""
    if data.load != "auto":
        return data.load == "stream"
    if manifest.get("encoded"):
        return True
    memory = machine_memory()
    if torch.cuda.is_available():
        memory = min(memory, torch.cuda.get_device_properties(0).total_memory)
    return held_bytes(manifest) * SHARE > memory
