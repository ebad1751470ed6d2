"""Memory and time of a trial, measured by one step."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.data import Dataset
from mtsearch.data.feature_batches import part_of
from mtsearch.data.features import size_of
from mtsearch.data.stored import StoredRows
from mtsearch.models import build_grouped
from mtsearch.models.tuning import freeze_parts_
from mtsearch.training.features import SPLITS, frozen_trunks, hindrance
from mtsearch.training.randomness import fork_rng

COPIES = 4
"""Copies of the weights: themselves, their gradients and two moments of the optimiser."""
_STREAMED = 6  # batches of bytes that are read ahead


@dataclass(frozen=True)
class StepCost:
    """What a trial needs, in bytes and seconds.

    Attributes:
        data: what the process holds of the dataset.
        network: weights, gradients and the optimiser's state.
        activations: tensors kept for the backward pass of one batch, and the batch.
        seconds: of a forward and backward pass of one batch, on the CPU.
        batch: images of the batch.
        features: of frozen trunks, in a file beside the store.
    """

    data: int
    network: int
    activations: int
    seconds: float
    batch: int
    features: int = 0

    @property
    def memory(self) -> int:
        """Bytes in all, without those of Python and its libraries."""
        return self.data + self.network + self.activations


def measure_step(
    config: TrialConfig, dataset: Dataset, data: DataConfig | None = None, images: int | None = None
) -> StepCost:
    """Run one step of a configuration on black images, on the CPU, and measure it.

    Args:
        config: the configuration.
        dataset: the open dataset, of whose images none is read.
        data: the data settings; with them the step reads the features of frozen trunks where
            training does.
        images: the largest batch that is run, from which the cost of a whole batch is computed;
            None for the whole batch.
    """
    card, threads = dataset.card, torch.get_num_threads()
    batch = min(config.batch, len(dataset.splits["train"]))
    count = min(batch, images or batch)
    torch.set_num_threads(config.threads)
    try:
        with fork_rng(config.seed):
            model = build_grouped(
                config.architecture, config.backbone, card.tasks, card.shape, config.groups
            )
            freeze_parts_(model, config.lr_multipliers)
            model.to(memory_format=torch.channels_last)
            model.train()
            x = torch.zeros(count, *card.shape)
            if x.dim() == 4:
                x = x.to(memory_format=torch.channels_last)
            kept: dict[int, int] = {}

            def keep(tensor: Tensor) -> Tensor:
                storage = tensor.untyped_storage()
                kept[storage.data_ptr()] = storage.nbytes()
                return tensor

            features: list[Tensor] | None = None
            if data is not None and hindrance(config, data) is None and frozen_trunks(model):
                with torch.no_grad():
                    features = model.trunk_features(x)
            start = time.perf_counter()
            with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
                outputs = model(x) if features is None else model.decode(x[:, :0], features)
            total = sum(output.float().square().mean() for output in outputs.values())
            assert isinstance(total, Tensor)
            total.backward()  # type: ignore[no-untyped-call]
            seconds = time.perf_counter() - start
    finally:
        torch.set_num_threads(threads)
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    parameters = list(model.parameters())
    size = sum(
        p.numel() * p.element_size() * (COPIES if p.requires_grad else 1) for p in parameters
    )
    activations = sum(bytes_ for place, bytes_ in kept.items() if place not in weights)
    read = [x] if features is None else features
    activations += sum(tensor.numel() * tensor.element_size() for tensor in read)
    parts = [] if features is None else [part_of(feature) for feature in features]
    counts = {name: len(dataset.splits[name]) for name in SPLITS}
    counts["train"] *= 1 + (config.augment.views or 0)
    return StepCost(
        _data_bytes(dataset, batch),
        size,
        activations * batch // count,
        seconds * batch / count,
        batch,
        size_of(counts, parts),
    )


def _data_bytes(dataset: Dataset, batch: int) -> int:
    """Bytes of the splits in memory, images twice, as they are packed for the augmentation; of
    streamed ones, the batches that are read ahead."""
    total = 0
    for split in dataset.splits.values():
        for name, rows in [("", split.images), *split.labels.items()]:
            row = int(torch.Size(rows.shape[1:]).numel()) * rows.dtype.itemsize
            if isinstance(rows, StoredRows):
                total = max(total, _STREAMED * batch * row)
            else:
                total += len(rows) * row * (1 if name else 2)
    return total
