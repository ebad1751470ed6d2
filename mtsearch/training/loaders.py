"""Batches of a split, grouped by the tasks for which its images are labelled: endless shuffled
batches for training, and ordered batches for evaluation."""

from __future__ import annotations

import math
import zlib
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mtsearch.balancing.schedules import Group, Stream
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput, nearest
from mtsearch.config.schema import Augment
from mtsearch.data import Batches, Dataset, Split
from mtsearch.data.feature_batches import FeatureBatches, Features, has_features
from mtsearch.tasks import hooks_of
from mtsearch.training.world import World

Batch = tuple[Tensor | Features, dict[str, Tensor]]
Parts = Sequence[tuple[Sequence[TaskCard], Iterable[Batch]]]
"""Tasks and the batches that are labelled for them."""
Pool = tuple[Group, Tensor | None]
"""Tasks with common images, and the indices of the images that are labelled for at least one of
them; None for all images."""

EVALUATION_BATCH = 1000  # images
EVALUATION_PIXELS = 1 << 21  # pixels per batch; bounds the memory of activations


def image_pools(split: Split, tasks: Sequence[TaskCard], group: Group) -> list[Pool]:
    """Return the pools of a group of tasks. Two tasks are in one pool if they have a labelled image
    in common, directly or through other tasks.

    Raises:
        BadInput: a task has no labelled image in this split.
    """
    labelled = {k: split.labelled(tasks[k]) for k in group}
    for k, has in labelled.items():
        if not bool(has.any()):
            raise BadInput(
                f"task `{tasks[k].name}` has no labelled image among {len(split)}. Raise"
                " `data.limit` or add labels to the dataset."
            )
    found: list[tuple[list[int], Tensor]] = []
    for k, has in labelled.items():
        joined = [pool for pool in found if bool((pool[1] & has).any())]
        members, union = [k], has
        for pool in joined:
            found.remove(pool)
            members, union = pool[0] + members, pool[1] | union
        found.append((sorted(members), union))
    return [
        (tuple(members), None if bool(union.all()) else union.nonzero().flatten())
        for members, union in sorted(found, key=lambda p: p[0])
    ]


class ImagePools:
    """The pools of groups of tasks in a split, each computed once. Raises BadInput as `image_pools`
    does."""

    def __init__(self, split: Split, tasks: Sequence[TaskCard]) -> None:
        self._split, self._tasks = split, tasks
        self._found: dict[Group, list[Pool]] = {}

    def of(self, group: Group) -> list[Pool]:
        """Return the result of `image_pools` for a group."""
        if group not in self._found:
            self._found[group] = image_pools(self._split, self._tasks, group)
        return self._found[group]

    def common(self, groups: Sequence[Group]) -> bool:
        """Return whether each group has a single pool."""
        return all(len(self.of(group)) == 1 for group in groups)

    def complete(self, groups: Sequence[Group]) -> bool:
        """Return whether every image of a pool has all labels of the pool's tasks, including the
        labels of all pixels."""
        return all(
            self._split.complete(self._tasks[k], index)
            for group in groups
            for members, index in self.of(group)
            for k in members
        )

    def streams(self, group: Group, sizes: int | Mapping[str, int]) -> list[Stream]:
        """Return the number of images and the batch size of each pool of a group."""
        return [
            Stream(
                len(self._split) if index is None else len(index),
                batch_size_of(members, self._tasks, sizes),
            )
            for members, index in self.of(group)
        ]

    def passes(
        self, groups: Sequence[Group], sizes: int | Mapping[str, int]
    ) -> dict[Group, Stream]:
        """Return by group the stream of its pool with the most batches, which is the length of one
        pass through the group's images."""
        return {
            group: max(
                self.streams(group, sizes), key=lambda stream: (stream.batches, stream.images)
            )
            for group in groups
        }


class GroupLoader:
    """Endless batches for each group of tasks that a step of the schedule can train.

    A step on a group uses one batch of each of its pools, so that one update can train tasks
    without common images. Each pass through a pool has a new random order. Each pool has its own
    generator, so that its batches do not depend on the steps of other tasks.

    Args:
        batches: the batches of the training split.
        split: the training split.
        tasks: the trial's tasks.
        groups: the groups that steps can train.
        seed: the seed of the random orders.
        cached: whether to repeat the first pass of an epoch without new random numbers.
        world: ranks that share each batch: all have the same order, and each takes its part.
        sizes: the batch size, one number or a number by task; None for the size of `batches`.

    Raises:
        BadInput: `sizes` names an unknown task, misses one, or differs among tasks with common
            images.
    """

    def __init__(
        self,
        batches: Batches | FeatureBatches,
        split: Split,
        tasks: Sequence[TaskCard],
        groups: Sequence[Group],
        seed: int,
        cached: bool = False,
        world: World | None = None,
        sizes: int | Mapping[str, int] | None = None,
    ) -> None:
        self._batches, self._cached = batches, cached
        self._world = world or World()
        self._groups, self.pools = tuple(groups), ImagePools(split, tasks)
        self._given = batches.batch_size if sizes is None else sizes
        self._index = {
            members: index for group in groups for members, index in self.pools.of(group)
        }
        self._sizes = {
            members: batch_size_of(members, tasks, self._given) for members in self._index
        }
        self._names = {members: "+".join(tasks[k].name for k in members) for members in self._index}
        # if there is only the pool of all tasks, it uses the trial's seed directly
        alone = len(self._index) == 1 and next(iter(self._index)) == tuple(range(len(tasks)))
        self._generators = {
            members: torch.Generator().manual_seed(
                seed if alone else (seed << 32) ^ zlib.crc32(name.encode())
            )
            for members, name in self._names.items()
        }
        self._running: dict[Group, Generator[Batch, None, None]] = {}

    @property
    def passes(self) -> dict[Group, Stream]:
        """The number of images and the batch size of one pass through a group's images, by
        group."""
        return self.pools.passes(self._groups, self._given)

    @property
    def common(self) -> bool:
        """Whether the tasks of each group have common images."""
        return self.pools.common(self._groups)

    @property
    def complete(self) -> bool:
        """Whether every image of a pool has all labels of the pool's tasks, so that no batch lacks
        labels."""
        return self.pools.complete(self._groups)

    def start_epoch(self) -> None:
        """Start an epoch. The next batch of every pool is the first one of a new pass."""
        self.close()

    def close(self) -> None:
        """End the passes that are under way, and with them their worker processes."""
        for batches in self._running.values():
            batches.close()
        self._running = {}

    def next_batches(self, group: Group) -> list[tuple[Group, Batch]]:
        """Return one batch of each pool of the group, with the tasks for which it is labelled."""
        found = []
        for members, _ in self.pools.of(group):
            if members not in self._running:
                self._running[members] = self._endless(members)
            found.append((members, next(self._running[members])))
        return found

    def _endless(self, members: Group) -> Generator[Batch, None, None]:
        generator, index = self._generators[members], self._index[members]
        share, size = (self._world.rank, self._world.size), self._sizes[members]
        # pools run at the same time and divide the worker processes among them
        workers = self._batches.workers // len(self._index)
        if self._cached:
            first = []
            for batch in self._batches.shuffled(generator, index, share, size, workers):
                first.append(batch)
                yield batch
            while True:
                yield from first
        while True:
            yield from self._batches.shuffled(generator, index, share, size, workers)

    def state_dict(self) -> dict[str, Any]:
        """Return the states of the generators, by the names of their tasks. Between epochs this is
        the complete state."""
        return {
            self._names[members]: generator.get_state()
            for members, generator in self._generators.items()
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state."""
        for members, generator in self._generators.items():
            generator.set_state(state[self._names[members]])


def batch_size_of(members: Group, tasks: Sequence[TaskCard], sizes: int | Mapping[str, int]) -> int:
    """Return the batch size of a pool.

    Raises:
        BadInput: `sizes` names an unknown task, misses one, or differs among the pool's tasks.
    """
    if isinstance(sizes, int):
        return sizes
    known = [task.name for task in tasks]
    for name in sizes:
        if name not in known:
            raise BadInput(
                "`trial.batch_size` should name tasks of the dataset. Found"
                f" `{name}`. {nearest(name, known)}"
            )
    names = [known[k] for k in members]
    for name in names:
        if name not in sizes:
            raise BadInput(
                "`trial.batch_size` should be one number or have a number for every task. Found"
                f" none for `{name}`."
            )
    if len({sizes[name] for name in names}) > 1:
        found = ", ".join(f"{sizes[name]} for `{name}`" for name in names)
        raise BadInput(
            "`trial.batch_size` should be equal for tasks with common images, which train on the"
            f" same batch. Found {found}."
        )
    return sizes[names[0]]


def make_batches(
    dataset: Dataset, split: Split, size: int, device: torch.device, augment: Augment | None = None
) -> Batches:
    """Return batches of `size` examples of a split: images channels-last and normalised with the
    mean and standard deviation of the dataset, other inputs as they are. Raises BadInput if a
    task's labels cannot be augmented."""
    return Batches(
        split,
        batch_size=size,
        mean=dataset.mean,
        std=dataset.std,
        augment=augment,
        device=device,
        memory_format=torch.channels_last,
        ignore={task.name: task.missing for task in dataset.card.tasks},
        workers=dataset.workers,
        hooks=hooks_of(dataset.card.tasks, augment),
    )


def evaluation_batch_size(dataset: Dataset) -> int:
    """Return the batch size for evaluation on a dataset."""
    shape = dataset.card.shape
    pixels = math.prod(shape[1:]) if len(shape) == 3 else max(1, math.prod(shape) // 3)
    return max(1, min(EVALUATION_BATCH, EVALUATION_PIXELS // pixels))


def labelled_batches(
    dataset: Dataset,
    split: Split,
    tasks: Sequence[TaskCard],
    device: torch.device,
    first: int | None = None,
) -> list[tuple[list[TaskCard], Batches]]:
    """Return the tasks and the batches of each pool of a split, in the order of the split.

    Args:
        dataset: the dataset of the split.
        split: the images and labels.
        tasks: all tasks of the trial.
        device: the device of the batches.
        first: the number of images to use of each pool; None for all.

    Raises:
        BadInput: a task has no labelled image in this split.
    """
    size = evaluation_batch_size(dataset)
    return [
        (members, make_batches(dataset, part, size, device))
        for members, part in labelled_parts(split, tasks, first)
    ]


def evaluation_parts(
    dataset: Dataset,
    split: Split,
    tasks: Sequence[TaskCard],
    device: torch.device,
    first: int | None = None,
) -> Parts:
    """As `labelled_batches`, for a split that may have features in place of images."""
    if not has_features(split):
        return labelled_batches(dataset, split, tasks, device, first)
    size = evaluation_batch_size(dataset)
    return [
        (members, FeatureBatches(part, size, device, dataset.workers))
        for members, part in labelled_parts(split, tasks, first)
    ]


def labelled_parts(
    split: Split, tasks: Sequence[TaskCard], first: int | None = None
) -> list[tuple[list[TaskCard], Split]]:
    """Return the tasks and the examples of each pool of a split, in the order of the split: all of
    them or the `first`. Raises BadInput as `labelled_batches`."""
    found = []
    for members, index in image_pools(split, tasks, tuple(range(len(tasks)))):
        part = split if index is None else split.take(index)
        part = part if first is None else part.head(first)
        found.append(([tasks[k] for k in members], part))
    return found
