"""Reading the data loaders of a user: each is read once, in order, into the arrays of a store.

After that, trials shuffle, share and stream the examples as those of any other dataset, so that
equal seeds give equal batches, also after a restart and with several workers.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
)

from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput, nearest
from mtsearch.config.metrics import DENSE, has_values
from mtsearch.config.schema import InputPart
from mtsearch.data.builders import SplitArrays
from mtsearch.data.packing import pack, parts_of
from mtsearch.data.types import SPLITS


@dataclass(frozen=True)
class OwnLoaders:
    """The loaders of the three splits, each an iterable of batches in a fixed order.

    Attributes:
        loaders: by split.
        first: the first batch of the training split, (x, y).
        parts: the tensors of an input; empty for one float32 tensor.
        batch_size: of the training loader.
    """

    loaders: Mapping[str, Iterable[Any]]
    first: tuple[Any, Mapping[str, Any]]
    parts: tuple[InputPart, ...]
    batch_size: int


def open_loaders(data: Any) -> OwnLoaders:
    """Check the loaders of a user, and read the first batch of each.

    Args:
        data: a dict of the loaders train, val and test, or a tuple of them in this order.

    Raises:
        BadInput: a loader is missing, cannot be read twice in one order, or yields no pairs
            (x, {task: y}).
    """
    if isinstance(data, list | tuple) and len(data) == 3:
        data = dict(zip(SPLITS, data, strict=True))
    if not isinstance(data, Mapping) or set(data) != set(SPLITS):
        found = ", ".join(map(str, data)) if isinstance(data, Mapping) else type(data).__name__
        raise BadInput(
            "`data` should be a dict of the loaders train, val and test; each split has examples of"
            f" its own. Found {found or 'none'}."
        )
    loaders = {name: _ordered(data[name], f"data[{name!r}]") for name in SPLITS}
    first = {name: _first(loaders[name], f"data[{name!r}]") for name in SPLITS}
    parts = parts_of(first["train"][0], "x of data['train']")
    size = getattr(data["train"], "batch_size", None)
    return OwnLoaders(loaders, first["train"], parts, size or len(pack(first["train"][0], parts)))


def read_loaders(data: OwnLoaders, tasks: Sequence[TaskCard]) -> dict[str, SplitArrays]:
    """Read all examples of the loaders.

    Raises:
        BadInput: a batch does not fit the tasks.
    """
    return {name: _read(data, name, tasks) for name in SPLITS}


def checksum_of(splits: Mapping[str, SplitArrays], tasks: Sequence[TaskCard], parts: Any) -> str:
    """A hash of the arrays of the splits, and of what they mean."""
    digest = hashlib.sha256()
    for text in (
        *(task.model_dump_json() for task in tasks),
        *(p.model_dump_json() for p in parts),
    ):
        digest.update(text.encode())
    for name, split in splits.items():
        for array in (split.images, *split.labels):
            assert isinstance(array, np.ndarray)
            digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()[:32]


def _ordered(loader: Any, where: str) -> Iterable[Any]:
    """The batches of a loader in the order of its dataset."""
    if isinstance(loader, str | Iterator) or not isinstance(loader, Iterable):
        raise BadInput(
            f"`{where}` should be a DataLoader, or another iterable that can be read several times."
            f" Found {type(loader).__name__}."
        )
    if not isinstance(loader, DataLoader):
        return loader
    dataset, sampler = loader.dataset, loader.sampler
    if isinstance(dataset, IterableDataset):
        if not hasattr(dataset, "__len__"):
            raise BadInput(
                f"`{where}` has a stream without a length, which may have no end. Give its dataset"
                " `__len__`, or a dataset with `__getitem__`."
            )
        return loader
    plain = type(loader.batch_sampler) in (BatchSampler, type(None))
    if plain and type(sampler) is SubsetRandomSampler:
        dataset = Subset(dataset, list(sampler.indices))
    elif not plain or not (
        type(sampler) is SequentialSampler
        or (
            type(sampler) is RandomSampler
            and not sampler.replacement
            and sampler.num_samples == len(sampler)
            and sampler.num_samples == len(sampler.data_source)
        )
    ):
        found = sampler if plain else loader.batch_sampler
        raise BadInput(
            f"`{where}` has a sampler of its own, {type(found).__name__}, but trials draw each"
            " example once a pass, in an order of their seed. Give a DataLoader with"
            " `shuffle=True`, and weights as `class_weights` of a task."
        )
    return DataLoader(
        dataset,
        batch_size=loader.batch_size,
        collate_fn=loader.collate_fn,
        num_workers=loader.num_workers,
        generator=torch.Generator(),
    )


def _first(loader: Iterable[Any], where: str) -> tuple[Any, Mapping[str, Any]]:
    """The first batch. Raises BadInput where it is another one the second time."""
    found = []
    for seed in (0, 1):
        with _seeded(seed):
            batch = next(iter(loader), None)
        if batch is None:
            raise BadInput(f"`{where}` should yield at least one batch. Found none.")
        found.append(_pair(batch, where))
    if not _same(found[0], found[1]):
        raise BadInput(
            f"`{where}` yields other examples each time it is read, but trials read them once. Give"
            " a dataset with a fixed order, and augment in `forward` of the network, `if"
            " self.training`."
        )
    return found[0]


def _pair(batch: Any, where: str) -> tuple[Any, Mapping[str, Any]]:
    if not isinstance(batch, list | tuple) or len(batch) != 2 or not isinstance(batch[1], Mapping):
        found = type(batch).__name__
        if isinstance(batch, list | tuple):
            found += f" of {', '.join(type(part).__name__ for part in batch)}"
        raise BadInput(
            f"`{where}` should yield pairs (x, y), with y a dict of labels by task. Found {found}."
        )
    return batch[0], batch[1]


def _same(one: Any, two: Any) -> bool:
    if isinstance(one, Tensor):
        return isinstance(two, Tensor) and torch.equal(
            one.nan_to_num() if one.is_floating_point() else one,
            two.nan_to_num() if two.is_floating_point() else two,
        )
    if isinstance(one, Mapping):
        return list(one) == list(two) and all(_same(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(_same, one, two))
    return bool(np.array_equal(one, two))


def _read(data: OwnLoaders, name: str, tasks: Sequence[TaskCard]) -> SplitArrays:
    rows: list[NDArray[Any]] = []
    labels: list[list[NDArray[Any]]] = [[] for _ in tasks]
    with _seeded(0):
        for number, batch in enumerate(data.loaders[name], start=1):
            where = f"data[{name!r}], batch {number}"
            x, y = _pair(batch, where)
            packed = pack(x, data.parts, f"x of {where}")
            if not bool(packed.isfinite().all()):
                raise BadInput(
                    f"x of {where} should contain finite numbers. Found NaN or infinity."
                )
            rows.append(packed.detach().cpu().numpy().copy())
            for task, found in zip(tasks, labels, strict=True):
                found.append(labels_of(task, y, len(packed), where))
    if len({array.shape[1:] for array in rows}) != 1:
        shapes = sorted({str(array.shape[1:]) for array in rows})
        raise BadInput(
            f"`data[{name!r}]` should yield examples of one shape. Found"
            f" {' and '.join(shapes[:2])}. Pad them in `collate_fn`."
        )
    try:
        return SplitArrays(np.concatenate(rows), tuple(np.concatenate(part) for part in labels))
    except ValueError as error:
        raise BadInput(f"`data[{name!r}]` should yield labels of one shape ({error}).") from None


def labels_of(task: TaskCard, y: Mapping[str, Any], count: int, where: str) -> NDArray[Any]:
    """The labels of a task in a batch of `count` examples, as a store has them.

    Raises:
        BadInput: they are missing, or of another type, shape or range than those of the task.
    """
    if task.name not in y:
        raise BadInput(
            f"y of {where} has no labels of task `{task.name}`. {nearest(task.name, map(str, y))}"
        )
    what = f"y[{task.name!r}] of {where}"
    labels = torch.as_tensor(y[task.name]).detach().cpu()
    if has_values(task.kind):
        values = labels.float()
        if values.dim() == 1:
            values = values[:, None]
        axes = 4 if task.kind in DENSE else 2
        wanted = f"({count}, {task.outputs}{', H, W' if axes == 4 else ''})"
        fits = values.shape[:2] == (count, task.outputs)
        if axes == 4 or task.kind in ("regression", "multilabel"):  # else of a plug-in
            fits = fits and values.dim() == axes
        if fits and values.dim() == 2 and bool(values.isinf().any()):
            raise BadInput(f"{what} should contain finite numbers, or NaN. Found infinity.")
        if fits and task.kind == "multilabel" and bool(((values != 0) & (values != 1)).any()):
            known = values[(values != 0) & (values != 1) & ~values.isnan()]
            if len(known):
                raise BadInput(f"{what} should contain 0, 1 or NaN. Found {float(known[0]):g}.")
        if fits and task.kind == "restoration" and labels.dtype == torch.uint8:
            return np.asarray(labels.numpy())
    else:
        if labels.is_floating_point():
            raise BadInput(
                f"{what} should be whole numbers of classes. Found {labels.dtype}. Convert them"
                f" with `.long()`; {task.ignore} means that a label is missing."
            )
        values = labels.long()
        dense = task.kind == "segmentation"
        wanted = f"({count}, H, W)" if dense else f"({count},)"
        fits = values.dim() == (3 if dense else 1) and len(values) == count
        known = values[values != task.ignore]
        if fits and len(known) and not (int(known.min()) >= 0 and int(known.max()) < task.outputs):
            raise BadInput(
                f"{what} should lie in 0..{task.outputs - 1}, or be {task.ignore} where a label is"
                f" missing. Found {int(known.min())}..{int(known.max())}. Set `ignore` or `outputs`"
                f" of the task, or correct the labels."
            )
    if not fits:
        raise BadInput(
            f"{what} should have the shape {wanted}, as task `{task.name}` is a {task.kind} with"
            f" `outputs: {task.outputs}`. Found {tuple(labels.shape)}."
        )
    return np.asarray(values.numpy().copy())


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the global generators, and restore them."""
    state, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            random.setstate(state)
            np.random.set_state(numpy_state)
