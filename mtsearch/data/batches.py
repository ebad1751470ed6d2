"""Batches of a split that lies whole on the device: no workers, no per-image Python."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from mtsearch.config.schema import Augment
from mtsearch.data.transforms import draw, gather, is_active, source_pixels
from mtsearch.data.types import Split


class Batches:
    """One pass over a split per iteration; the last, smaller batch is kept.

    ``generator`` draws the order and the augmentation (it may be on the CPU whatever the device, and then gives the same batches on all); None means in order,
    which leaves nothing random. ``mean`` and ``std`` are per channel, of pixels in [0, 1]. Yields images float32 (B, C, H, W) in ``memory_format`` and the
    labels by task. Dense labels (N, H, W) move with their image; what comes in from outside gets ``ignore``.
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
        ignore: int = -1,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"Parameter `batch_size` should be positive. Found `batch_size = {batch_size}`.")
        if generator is None and is_active(augment):
            raise ValueError("Parameter `augment` needs a `generator` to draw from. Found `generator = None`.")
        device = torch.device(device)
        self.batch_size = batch_size
        self.generator = generator
        self.augment = augment if is_active(augment) else None
        self.ignore = ignore
        # Kept in the memory format of the batches: then taking rows already yields it, and the conversion to float is one straight pass.
        self.images = split.images.to(device).contiguous(memory_format=memory_format)
        self.labels = {name: values.to(device) for name, values in split.labels.items()}
        self.memory_format = memory_format
        self.scale = torch.tensor([1 / (255 * s) for s in std], device=device).view(1, -1, 1, 1)
        self.shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)], device=device).view(1, -1, 1, 1)

    def __len__(self) -> int:
        return -(-len(self.images) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
        count = len(self.images)
        order = None
        if self.generator is not None:
            order = torch.randperm(count, generator=self.generator, device=self.generator.device).to(self.images.device)
        for start in range(0, count, self.batch_size):
            stop = min(start + self.batch_size, count)
            if order is None:
                images = self.images[start:stop]
                labels = {name: values[start:stop] for name, values in self.labels.items()}
            else:
                rows = order[start:stop]
                images = self.images[rows]
                labels = {name: values[rows] for name, values in self.labels.items()}
            if self.augment is not None:
                images, labels = self._move(self.augment, images, labels)
            yield self.normalise(images), labels

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 (B, C, H, W) -> float32, (pixel / 255 - mean) / std."""
        return torch.addcmul(self.shift, images.to(torch.float32, memory_format=self.memory_format), self.scale)

    def _move(self, augment: Augment, images: Tensor, labels: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        assert self.generator is not None  # __init__ saw to it
        move = draw(augment, len(images), self.generator)
        index, inside = (part.to(images.device) for part in source_pixels(move, *images.shape[2:]))
        moved = {
            name: gather(values[:, None], index, inside, self.ignore)[:, 0]
            if values.ndim == 3 and values.shape[1:] == images.shape[2:]
            else values
            for name, values in labels.items()
        }
        return gather(images, index, inside), moved
