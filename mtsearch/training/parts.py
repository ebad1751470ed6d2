"""A split as batches on the device, by the tasks that its images are labelled for."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mtsearch.config.cards import TaskCard
from mtsearch.config.schema import Augment
from mtsearch.data import Batches, Dataset, Split
from mtsearch.training.streams import pools

EVALUATION_BATCH = 1000
EVALUATION_PIXELS = (
    1 << 21
)  # of all images of a batch: what lies between the layers has to fit into memory


def evaluation_batch(dataset: Dataset) -> int:
    """How many images of a dataset are evaluated at once."""
    return max(
        1,
        min(EVALUATION_BATCH, EVALUATION_PIXELS // (dataset.card.shape[1] * dataset.card.shape[2])),
    )


def batches_of(
    dataset: Dataset, split: Split, size: int, device: torch.device, augment: Augment | None = None
) -> Batches:
    """Channels-last batches of a split of the dataset, normalised as its card says."""
    return Batches(
        split,
        batch_size=size,
        mean=dataset.mean,
        std=dataset.std,
        augment=augment,
        device=device,
        memory_format=torch.channels_last,
        ignore={task.name: task.missing for task in dataset.card.tasks},
    )


def parts_of(
    dataset: Dataset,
    split: Split,
    tasks: Sequence[TaskCard],
    device: torch.device,
    first: int | None = None,
) -> list[tuple[list[TaskCard], Batches]]:
    """A split in its order, in one part for each pool of tasks with common images; of each part all
    images or the `first` ones.

    Raises:
        BadInput: a task has no labelled image in this split.
    """
    size = evaluation_batch(dataset)
    found = []
    for members, index in pools(split, tasks, tuple(range(len(tasks)))):
        part = split if index is None else split.take(index)
        part = part if first is None else part.head(first)
        found.append(([tasks[k] for k in members], batches_of(dataset, part, size, device)))
    return found
