"""The images that steps train on: for each group of tasks, passes through the images labelled for
them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mtsearch.balancing.schedules import Group, Stream
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput, nearest
from mtsearch.data import Batches, Split
from mtsearch.training.world import World

Batch = tuple[Tensor, dict[str, Tensor]]


def pools(
    split: Split, tasks: Sequence[TaskCard], group: Group
) -> list[tuple[Group, Tensor | None]]:
    """The tasks of a group by the images they share: tasks with a common labelled image are in one
    pool, others in several.

    Each pool is its tasks and the indices of the images with a label for one of them; None stands
    for all images.

    Raises:
        BadInput: a task has no labelled image in this split.
    """
    labelled = {k: split.labelled(tasks[k]) for k in group}
    for k, has in labelled.items():
        if not bool(has.any()):
            raise BadInput(
                f"task `{tasks[k].name}` has no labelled image among {len(split)}; raise"
                " `data.limit` or mend the dataset."
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


class Pools:
    """The pools of each group of tasks in a split, found once each. Raises BadInput as `pools`
    does."""

    def __init__(self, split: Split, tasks: Sequence[TaskCard]) -> None:
        self._split, self._tasks = split, tasks
        self._found: dict[Group, list[tuple[Group, Tensor | None]]] = {}

    def of(self, group: Group) -> list[tuple[Group, Tensor | None]]:
        """What `pools` tells of a group."""
        if group not in self._found:
            self._found[group] = pools(self._split, self._tasks, group)
        return self._found[group]

    def common(self, groups: Sequence[Group]) -> bool:
        """Whether the tasks of every group have common images."""
        return all(len(self.of(group)) == 1 for group in groups)

    def passes(
        self, groups: Sequence[Group], sizes: int | Mapping[str, int]
    ) -> dict[Group, Stream]:
        """What one pass through each group's images is, in batches of one size or one a task; of
        several pools the one with the most batches."""
        return {
            group: max(
                self.streams(group, sizes), key=lambda stream: (stream.batches, stream.images)
            )
            for group in groups
        }

    def streams(self, group: Group, sizes: int | Mapping[str, int]) -> list[Stream]:
        """What one pass through each of a group's pools is."""
        return [
            Stream(self._images(index), size_of(members, self._tasks, sizes))
            for members, index in self.of(group)
        ]

    def _images(self, index: Tensor | None) -> int:
        return len(self._split) if index is None else len(index)


class Streams:
    """Endless batches for each group of tasks that a schedule's steps train.

    A step on a group takes one batch of each of its pools, so that tasks without common images may
    be trained by one update. A pass goes through a pool's images in a new order; each pool has a
    random stream of its own, so that its batches depend on no other task's steps.

    Args:
        batches: the training split.
        split: the same.
        tasks: the trial's tasks.
        groups: the groups that steps may train.
        seed: of the random streams.
        cached: within an epoch, repeat the first pass as it was instead of drawing anew.
        world: ranks that share each batch: all draw the same, and each has its part.
        sizes: images of a batch, one number or a number by task; by default those of `batches`.

    Raises:
        BadInput: `sizes` names other tasks, or gives tasks with common images different ones.
    """

    def __init__(
        self,
        batches: Batches,
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
        self._groups, self.pools = tuple(groups), Pools(split, tasks)
        self._given = batches.batch_size if sizes is None else sizes
        self._index = {
            members: index for group in groups for members, index in self.pools.of(group)
        }
        self._sizes = {members: size_of(members, tasks, self._given) for members in self._index}
        self._names = {members: "+".join(tasks[k].name for k in members) for members in self._index}
        alone = len(self._index) == 1 and next(iter(self._index)) == tuple(range(len(tasks)))
        self._generators = {  # one stream for all tasks has the trial's seed itself
            members: (
                torch.Generator().manual_seed(
                    seed if alone else (seed << 32) ^ zlib.crc32(name.encode())
                )
            )
            for members, name in self._names.items()
        }
        self._running: dict[Group, Iterator[Batch]] = {}

    @property
    def streams(self) -> dict[Group, Stream]:
        """What one pass through each group's images is; of several pools the one with the most
        batches."""
        return self.pools.passes(self._groups, self._given)

    @property
    def common(self) -> bool:
        """Whether the tasks of every group have common images."""
        return self.pools.common(self._groups)

    def begin(self) -> None:
        """Start an epoch: every pool's next batch is the first of a new pass."""
        self._running = {}

    def next(self, group: Group) -> list[tuple[Group, Batch]]:
        """One batch of each pool of the group, with the tasks that it is labelled for."""
        found = []
        for members, _ in self.pools.of(group):
            if members not in self._running:
                self._running[members] = self._cycle(members)
            found.append((members, next(self._running[members])))
        return found

    def _cycle(self, members: Group) -> Iterator[Batch]:
        generator, index = self._generators[members], self._index[members]
        share, size = (self._world.rank, self._world.size), self._sizes[members]
        if self._cached:
            first = []
            for batch in self._batches.shuffled(generator, index, share, size):
                first.append(batch)
                yield batch
            while True:
                yield from first
        while True:
            yield from self._batches.shuffled(generator, index, share, size)

    def state_dict(self) -> dict[str, Any]:
        """The random streams, by the names of their tasks. Only between epochs is this all."""
        return {
            self._names[members]: generator.get_state()
            for members, generator in self._generators.items()
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state."""
        for members, generator in self._generators.items():
            generator.set_state(state[self._names[members]])


def size_of(members: Group, tasks: Sequence[TaskCard], sizes: int | Mapping[str, int]) -> int:
    """Images of a batch of a pool."""
    if isinstance(sizes, int):
        return sizes
    known = [task.name for task in tasks]
    for name in sizes:
        if name not in known:
            raise BadInput(
                f"`trial.batch_size` names no task of the dataset: `{name}`. {nearest(name, known)}"
            )
    names = [known[k] for k in members]
    for name in names:
        if name not in sizes:
            raise BadInput(
                "`trial.batch_size` should be one number or give every task one. Found none for"
                f" `{name}`."
            )
    if len({sizes[name] for name in names}) > 1:
        found = ", ".join(f"{sizes[name]} for `{name}`" for name in names)
        raise BadInput(
            "`trial.batch_size` should be one for tasks with common images, which train on one"
            f" batch. Found {found}."
        )
    return sizes[names[0]]
