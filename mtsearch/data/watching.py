"""What the manifest of a store says about its rows, counted while they are written."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtsearch.config.cards import DatasetCard
from mtsearch.config.errors import BadInput
from mtsearch.data.builders import SplitArrays, check_classes
from mtsearch.data.checks import check_labels, check_split
from mtsearch.data.decoding_pool import count_pixels
from mtsearch.data.remarks import Remarks, collect_remarks
from mtsearch.data.repeats import Repeats
from mtsearch.data.rows import Block
from mtsearch.data.statistics import ChannelStatistics
from mtsearch.data.summary import (
    add_counts,
    count_labels,
    no_counts,
    pixel_statistics,
)
from mtsearch.data.types import SPLITS

_log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Called with the number of images written and the number of all images."""


class LoggedProgress:
    """Logs the number of images written, at most every 10 seconds."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() - self._last >= 10:
            self._last = time.monotonic()
            _log.info("%s of %s images written", f"{done:,}", f"{total:,}")


class SplitWatch:
    """Counts the labels and the pixels of a dataset's splits, and checks them.

    Labels in memory are checked at once, those that are decoded from files when they are written.

    Args:
        card: the dataset's card.
        splits: the splits, by name.
        remarks: the remarks made so far.
        progress: called for each part of the images.

    Raises:
        BadInput: a split does not fit the card.
    """

    def __init__(
        self,
        card: DatasetCard,
        splits: dict[str, SplitArrays],
        remarks: Remarks,
        progress: Progress | None = None,
    ) -> None:
        self._card, self._remarks, self._progress = card, remarks, progress
        self._total = sum(len(split.images) for split in splits.values())
        self._done = 0
        channels = card.shape[0] if len(card.shape) == 3 else 1
        self._pixels = np.zeros((channels, 256), np.int64)
        # inputs of a builder that says nothing about them are not standardised
        arrays = splits["train"].inputs is not None
        self._values = ChannelStatistics(channels) if arrays else None
        self._tasks = {task.name: task for task in card.tasks}
        self._counts: dict[str, Any] = {task.name: {} for task in card.tasks}
        lazy = False
        for name in SPLITS:
            check_split(card, name, splits[name])
            for task, labels in zip(card.tasks, splits[name].labels, strict=True):
                if isinstance(labels, np.ndarray):
                    self._counts[task.name][name] = count_labels(task, labels)
                else:
                    lazy = True
        self._repeats = Repeats(splits)
        self._checked = not lazy
        if not lazy:
            check_labels(card, self._counts)
        self._open = {
            f"{name}/labels/{task.name}"
            for name in SPLITS
            for task in card.tasks
            if name not in self._counts[task.name]
        }

    def block(self, name: str, block: Block) -> None:
        """Take rows of `<split>/images` or `<split>/labels/<task>`."""
        split, _, label = name.partition("/")
        rows = block.rows
        if label == "images":
            if self._values is not None:
                self._check_finite(split, rows)
                if split == "train":
                    self._values.add(rows)
            elif rows.dtype == np.uint8:
                self._repeats.add(split, rows)
                if split == "train":
                    self._pixels += count_pixels(rows) if block.pixels is None else block.pixels
            self._done += len(rows)
            if self._progress is not None:
                self._progress(self._done, self._total)
        elif name in self._open:
            task = self._tasks[label.removeprefix("labels/")]
            check_classes(self._card, task, rows, split)
            counts = self._counts[task.name]
            counts[split] = add_counts(
                counts.get(split, no_counts(task, rows.dtype)), count_labels(task, rows)
            )

    def _check_finite(self, split: str, rows: NDArray[np.float32]) -> None:
        wrong = np.argwhere(~np.isfinite(rows))
        if len(wrong):
            row, *place = wrong[0].tolist()
            raise BadInput(
                f"The arrays of `{self._card.name}` should contain finite numbers. Found"
                f" {rows[tuple(wrong[0])]} at {tuple(place)} (channel, row, column) of number"
                f" {self._done + row} of the examples written, of {split}; correct the data."
            )

    def facts(self, remarks: Remarks) -> dict[str, Any]:
        """The entries of the manifest that depend on all rows."""
        if not self._checked:
            check_labels(self._card, self._counts)
        if self._values is not None:
            mean, std = self._values.result()
        else:
            mean, std = pixel_statistics(self._pixels) if self._pixels.any() else ([], [])
        with collect_remarks() as repeated:
            self._repeats.remark()
        for row in (*remarks.rows(), *repeated.rows()):
            self._remarks.add(str(row["text"]), str(row["example"]), int(row["count"]))
        return {
            "labels": {
                task: {split: counts[split] for split in SPLITS}
                for task, counts in self._counts.items()
            },
            "remarks": self._remarks.rows(),
            "statistics": {"mean": mean, "std": std},
        }
