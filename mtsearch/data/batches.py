"""Batches of a split that is held whole on the device, or whose rows are read from its store.

Both ways share the augmentation and the normalisation, which work on whole batches, and draw the
same random numbers, so that they give the same batches bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import Augment
from mtsearch.data.batch_labels import ignored_value, label_values, moved_labels
from mtsearch.data.devices import to_device
from mtsearch.data.policies import rand_augment
from mtsearch.data.seeded import draw_each, pass_numbers, seeds_of
from mtsearch.data.stored import RowReader, StoredRows
from mtsearch.data.transforms import (
    Move,
    adjust_light_,
    draw,
    is_active,
    pack,
    source_pixels,
    unpack,
    with_border,
)
from mtsearch.data.types import Split

T = TypeVar("T")
Hook = Callable[[Tensor, Move], Tensor]
"""(labels (B, ...) whose pixels have been moved, movement of the B examples) -> labels."""
_IMAGES = ""  # key of the images among the labels by task


@dataclass(frozen=True)
class _Read:
    """Images in the layout of `Batches._layout` and labels that were read from a store."""

    images: list[Tensor] = field(default_factory=list)
    labels: dict[str, Tensor] = field(default_factory=dict)


class Batches:
    """Batches of a split; each iteration is one pass, which includes the last, smaller batch.

    Batches are pairs of images, float32 (B, C, H, W), normalised, in ``memory_format``, and labels
    by task. Inputs of float32 without `mean` are returned as they are. Dense labels,
    (N, H, W) or (N, C, H, W) of the size of the images, are augmented with the images. Labels that
    are images (uint8) are stored as bytes and returned as float32 in [0, 1], with NaN for pixels
    from outside the image.

    Arrays (float32) are normalised with the mean and the standard deviation of their values, and
    are not augmented.

    Args:
        split: images and labels.
        batch_size: images per batch.
        mean: per channel, of pixels in [0, 1].
        std: per channel, of pixels in [0, 1].
        generator: source of the order and the augmentation. It may be on the CPU for any device,
            which then gives the same batches on all devices. None keeps the order of the split and
            allows no augmentation.
        augment: the augmentation; None for none.
        device: where the split is held.
        memory_format: of the returned images.
        ignore: value of dense labels for pixels from outside the image. A number applies to all
            tasks with integer labels; a mapping gives it by task, by default -1 for integer and NaN
            for float labels.
        workers: processes that read batches ahead if the split is in its store; 0 reads in this
            process.
        hooks: by task, what the augmentation does to the values of labels, such as a flip to
            surface normals.

    Raises:
        ValueError: a parameter is out of range.
        BadInput: arrays should be augmented.
    """

    def __init__(
        self,
        split: Split,
        *,
        batch_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        generator: torch.Generator | None = None,
        augment: Augment | None = None,
        device: torch.device | str = "cpu",
        memory_format: torch.memory_format = torch.contiguous_format,
        ignore: int | Mapping[str, float] = -1,
        workers: int = 0,
        hooks: Mapping[str, Hook] | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(
                f"Parameter `batch_size` should be positive. Found `batch_size = {batch_size}`."
            )
        if memory_format not in (torch.contiguous_format, torch.channels_last):
            raise ValueError(
                "Parameter `memory_format` should be contiguous or channels last. Found"
                f" `memory_format = {memory_format}`."
            )
        self.batch_size = batch_size
        self.generator = generator
        self.augment = augment if is_active(augment) else None
        self.shape = tuple(split.images.shape[1:])
        self._pictures = split.images.dtype == torch.uint8
        self._arrays = not self._pictures and len(mean) > 0
        self._raw = not self._pictures and not self._arrays  # inputs without statistics
        self.channels_last = memory_format == torch.channels_last and not self._raw
        if not self._pictures and self.augment is not None:
            raise BadInput(
                "`trial.augment` works on images of 8 bits. Found inputs of type"
                f" {split.images.dtype}. Leave it out."
            )
        policy = None if self.augment is None else self.augment.rand_augment
        if policy is not None and self.shape[0] not in (1, 3):
            raise BadInput(
                "`trial.augment.rand_augment` works on images of 1 or 3 channels. Found"
                f" {self.shape[0]}. Leave it out."
            )
        height, width = self.shape[1:] if not self._raw else (1, 1)
        if self.augment is not None and (height + 2) * (width + 2) > 1 << 24:
            raise ValueError(
                f"Parameter `augment` works on images of up to 2**24 pixels. Found {height} x"
                f" {width}."
            )
        self.count = len(split.images)
        self.workers = workers
        self._hooks = dict(hooks or {})
        self.labels = {
            name: values.to(device)
            for name, values in split.labels.items()
            if isinstance(values, Tensor)
        }
        stored = {name: v for name, v in split.labels.items() if isinstance(v, StoredRows)}
        if isinstance(split.images, StoredRows):
            stored[_IMAGES] = split.images
        self._reader = RowReader(stored) if stored else None
        self._fill: dict[str, float] = {}
        self.outside = None
        if self.augment is not None:
            dense = {
                name: values
                for name, values in split.labels.items()
                if values.dim() in (3, 4) and values.shape[-2:] == (height, width)
            }
            self._fill = {name: ignored_value(name, v.dtype, ignore) for name, v in dense.items()}
            self.labels |= {
                name: with_border(self.labels[name], fill)
                for name, fill in self._fill.items()
                if name in self.labels
            }
            if any(values.dtype == torch.uint8 for values in dense.values()):
                frame = torch.zeros(height, width, dtype=torch.bool, device=device)
                self.outside = with_border(frame, True)
        self._held: list[Tensor] | None = None
        if isinstance(split.images, Tensor):
            self._held = self._layout(split.images.to(device))
        if self._arrays:
            # as the network's own normalisation, (x - mean) / std, because x may be far from 0
            scale, shift = (torch.tensor(list(values), device=device) for values in (std, mean))
        else:
            scale = torch.tensor([1 / (255 * s) for s in std], device=device)
            shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)], device=device)
        pixels = height * width
        self.scale, self.shift = (
            v.repeat(pixels) if self.channels_last else v.repeat_interleave(pixels)
            for v in (scale, shift)
        )

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
        if self.generator is None:
            if self.augment is not None:
                raise ValueError(
                    "Parameter `augment` needs a `generator` to draw from. Found `generator ="
                    " None`."
                )
            starts = range(0, self.count, self.batch_size)
            parts = [slice(start, start + self.batch_size) for start in starts]
            order = torch.arange(self.count)
            for part, read in self._reading(parts, [order[part] for part in parts], self.workers):
                labels = {name: values[part] for name, values in self.labels.items()}
                (rows,) = read.images or [held[part] for held in self._held or ()]
                rows = rows.to(self.scale.dtype, copy=True)  # a network may change its input
                yield self._finish(rows), label_values(labels | read.labels)
            return
        yield from self.shuffled(self.generator)

    def shuffled(
        self,
        generator: torch.Generator,
        among: Tensor | None = None,
        share: tuple[int, int] = (0, 1),
        size: int | None = None,
        workers: int | None = None,
    ) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
        """One pass in an order drawn from `generator`, over all images or over those with the
        indices `among` (n,). The augmentation is drawn batch by batch.

        ``share`` is (index, count): which of `count` equal parts of each batch is returned. All
        parts draw the same random numbers; the last part may be empty. ``size`` replaces the batch
        size, ``workers`` the number of worker processes.
        """
        order = torch.randperm(
            self.count if among is None else len(among),
            generator=generator,
            device=generator.device,
        )
        indices = (order if among is None else among.to(order.device)[order]).split(
            size or self.batch_size
        )
        mine = [share_of(index, share) for index in indices]
        workers = self.workers if workers is None else workers
        if self.augment is not None and self.augment.by_example:
            numbers = pass_numbers(self.augment, len(order), generator)
            passes = [share_of(n, share) for n in numbers.split(size or self.batch_size)]
            for (part, number), read in self._reading(
                list(zip(mine, passes, strict=True)), mine, workers
            ):
                yield self._example_batch(part, number, read)
            return
        for (index, part), read in self._reading(
            list(zip(indices, mine, strict=True)), mine, workers
        ):
            yield self._batch(len(index), part, read, generator, share)

    def view(self, number: int, size: int) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
        """All examples in their order, in batches of `size`, each with its augmentation `number`
        (from 0) of the `views` of the augmentation."""
        parts = list(torch.arange(self.count).split(size))
        for part, read in self._reading(parts, parts, self.workers):
            yield self._example_batch(part, torch.full_like(part, number), read)

    def take(
        self,
        index: Tensor,
        generator: torch.Generator | None = None,
        share: tuple[int, int] = (0, 1),
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The examples at ``index`` (B,), on any device, as a batch, or one ``share`` of it.
        ``generator`` draws the augmentation of all B examples, if there is any."""
        mine = share_of(index, share)
        ((_, read),) = self._reading([None], [mine], 0)
        if self.augment is not None and self.augment.by_example and generator is not None:
            numbers = pass_numbers(self.augment, len(index), generator)
            return self._example_batch(mine, share_of(numbers, share), read)
        return self._batch(len(index), mine, read, generator, share)

    def _batch(
        self,
        count: int,
        index: Tensor,
        read: _Read,
        generator: torch.Generator | None,
        share: tuple[int, int],
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The share of a batch of `count` examples that has the indices `index`. What is not held
        on the device was `read`."""
        mine = to_device(index, self.scale.device)
        labels = {name: values.index_select(0, mine) for name, values in self.labels.items()}
        labels |= read.labels
        images = read.images
        if self.augment is None:
            rows = images[0] if images else self._held_rows(mine)[0]
            return self._finish(rows.to(self.scale.dtype)), label_values(labels)
        if generator is None:
            raise ValueError(
                "Parameter `generator` should be given to batches with augmentation. Found"
                " `generator = None`."
            )
        move = draw(self.augment, count, generator).part(_part(count, share))
        return self._augmented(move, images or self._held_rows(mine), labels)

    def _example_batch(
        self, index: Tensor, passes: Tensor, read: _Read
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The examples with the indices (B,), whose augmentation is determined by their index and
        the numbers (B,) of their passes."""
        assert self.augment is not None
        mine = to_device(index, self.scale.device)
        labels = {name: values.index_select(0, mine) for name, values in self.labels.items()}
        move, numbers = draw_each(self.augment, seeds_of(passes, index))
        images = read.images or self._held_rows(mine)
        return self._augmented(move, images, labels | read.labels, numbers)

    def _held_rows(self, index: Tensor) -> list[Tensor]:
        assert self._held is not None
        return [held.index_select(0, index) for held in self._held]

    def _layout(self, images: Tensor) -> list[Tensor]:
        """Images (N, C, H, W) as they are held: packed for the augmentation, else as rows of bytes
        in the memory format of the batches, so that selecting rows keeps that format and
        normalising is one contiguous pass."""
        if self.augment is not None:
            return pack(images)
        images = images.permute(0, 2, 3, 1) if self.channels_last else images
        return [images if self._raw else images.reshape(len(images), -1)]

    def _reading(
        self, items: Sequence[T], indices: Sequence[Tensor], workers: int
    ) -> Iterator[tuple[T, _Read]]:
        """The items, each with what is read from the store for its indices."""
        if self._reader is None:
            for item in items:
                yield item, _Read()
            return
        device = self.scale.device
        indices = [index.cpu() for index in indices]
        for item, rows in zip(items, self._reader.batches(indices, workers), strict=True):
            found = {name: to_device(values, device) for name, values in rows.items()}
            images = found.pop(_IMAGES, None)
            for name in found.keys() & self._fill.keys():
                found[name] = with_border(found[name], self._fill[name])
            yield item, _Read([] if images is None else self._layout(images), found)

    def _augmented(
        self,
        move: Move,
        packed: list[Tensor],
        labels: dict[str, Tensor],
        numbers: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        channels, height, width = self.shape
        device = self.scale.device
        source = to_device(source_pixels(move, height, width), device)
        words = [word.gather(1, source) for word in packed]
        values = torch.empty(len(source), height * width * channels, device=device)
        planes = (
            values.view(-1, height * width, channels).transpose(1, 2)
            if self.channels_last
            else values.view(-1, channels, height * width)
        )
        unpack(words, planes)
        policy = None if self.augment is None else self.augment.rand_augment
        if policy is not None and numbers is not None:
            images = planes.to(torch.uint8).unflatten(-1, (height, width))
            planes.copy_(rand_augment(images, policy, numbers).flatten(2))
        if move.light is not None:
            adjust_light_(values, to_device(move.light, values.device))
        moved = {
            name: moved_labels(labels[name], source).unflatten(-1, (height, width))
            for name in self._fill
        }
        outside = (
            self.outside[source].unflatten(-1, (height, width))
            if self.outside is not None
            else None
        )
        found = label_values(labels | moved, outside)
        if self._hooks:
            here = move.to(device)
            found |= {name: hook(found[name], here) for name, hook in self._hooks.items()}
        return self._finish(values), found

    def _finish(self, values: Tensor) -> Tensor:
        """Float pixels (B, C*H*W) in the order of the memory format, normalised in place, because a
        new array costs more in page faults than the arithmetic; inputs without statistics as they
        are."""
        if self._raw:
            return values
        if self._arrays:
            values.sub_(self.shift).div_(self.scale)
        else:
            values.mul_(self.scale).add_(self.shift)
        channels, height, width = self.shape
        if self.channels_last:
            return values.view(-1, height, width, channels).permute(0, 3, 1, 2)
        return values.view(-1, channels, height, width)


def _part(count: int, share: tuple[int, int]) -> slice:
    return slice(*(count * (share[0] + end) // share[1] for end in (0, 1)))


def share_of(index: Tensor, share: tuple[int, int]) -> Tensor:
    return index[_part(len(index), share)]
