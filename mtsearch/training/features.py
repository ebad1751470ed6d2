"""Features of frozen trunks, computed once for all trials and epochs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mtsearch.config.plugins import code_of
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.data import Dataset, Split, resolve
from mtsearch.data.feature_batches import packed, part_of
from mtsearch.data.features import Part, kept_features
from mtsearch.data.stored import StoredRows
from mtsearch.data.transforms import is_active
from mtsearch.models import MultiTaskModel
from mtsearch.models.base import Branch
from mtsearch.models.restoring import Correction
from mtsearch.training.loaders import evaluation_batch_size, make_batches

SPLITS = ("train", "val")  # the test split is read once
_CONTAINERS = (Branch, nn.Sequential, nn.Identity)
_ALONE = 4  # images whose features must not depend on their batch


def is_frozen(config: TrialConfig) -> bool:
    """Whether the settings of a trial freeze the whole trunk."""
    tune = getattr(config.backbone, "tune", "all")
    return tune == "head" or config.lr_multipliers.get("trunk") == 0


def hindrance(config: TrialConfig, data: DataConfig) -> str | None:
    """Return the setting because of which the features of a frozen trunk are not computed once,
    None if there is none."""
    refused = {
        "data.features": data.features == "off",
        "trial.augment": is_active(config.augment) and config.augment.views is None,
        "trial.precision": config.precision != "float32",
        "trial.compile": config.compile,
    }
    return next((key for key, active in refused.items() if active), None)


def frozen_trunks(model: MultiTaskModel) -> list[nn.Module]:
    """Return the trunks of a network if their features are fixed and the only input of the rest;
    else an empty list."""
    trunks = model.sole_trunks()
    # containers around the layers of a frozen trunk, as of `split`, behave alike in both modes
    fixed = all(
        getattr(module, "is_frozen", False) or type(module) in _CONTAINERS
        for trunk in trunks
        for module in trunk.modules()
    ) and not any(p.requires_grad for trunk in trunks for p in trunk.parameters())
    corrects = any(isinstance(module, Correction) for module in model.modules())
    return trunks if fixed and not corrects else []


def with_features(
    config: TrialConfig,
    data: DataConfig,
    dataset: Dataset,
    model: MultiTaskModel,
    device: torch.device,
) -> Dataset:
    """Return the dataset with features in place of the images of its training and validation split.

    The features are those of the network's frozen trunks in evaluation mode. The first process that
    needs them computes them; all processes of a node read them from a folder beside the store.

    Returns:
        The dataset; unchanged if the trunks are not frozen, if a setting prevents it (`hindrance`),
        if features of an image depend on the other images of its batch, or if the features cannot
        be written.
    """
    trunks, views = frozen_trunks(model), config.augment.views or 0
    if not trunks or hindrance(config, data) is not None:
        return dataset
    if views and any(labels.dim() > 2 for labels in dataset.splits["train"].labels.values()):
        return dataset  # the augmentation moves these labels
    was_training = model.training
    model.eval()
    try:
        parts = _parts(dataset, model, device)
        if parts is None:
            return dataset
        lengths = {name: len(dataset.splits[name]) for name in SPLITS}
        counts = {**lengths, "train": (1 + views) * lengths["train"]}
        size = evaluation_batch_size(dataset)

        def compute(name: str) -> Iterator[NDArray[np.float32]]:
            images = Split(dataset.splits[name].images, {})
            with torch.inference_mode():
                for batch, _ in make_batches(dataset, images, size, device):
                    yield packed(model.trunk_features(batch), parts).cpu().numpy()
                augmented = make_batches(dataset, images, size, device, config.augment)
                for view in range(views if name == "train" else 0):
                    for batch, _ in augmented.view(view, size):
                        yield packed(model.trunk_features(batch), parts).cpu().numpy()

        key = _key(config, data, dataset, trunks, parts, device)
        columns = kept_features(resolve(data).store, key, counts, parts, compute)
    finally:
        model.train(was_training)
    if columns is None:
        return dataset
    columns["train"] = replace(columns["train"], count=lengths["train"], views=views)
    kept = {
        name: replace(dataset.splits[name], images=StoredRows(column))
        for name, column in columns.items()
    }
    return replace(dataset, splits={**dataset.splits, **kept})


@torch.inference_mode()
def _parts(
    dataset: Dataset, model: MultiTaskModel, device: torch.device
) -> tuple[Part, ...] | None:
    """Return the features of an image; None if they are not float32, or depend on the batch."""
    some = Split(dataset.splits["train"].images[:_ALONE], {})
    (images, _), *_ = make_batches(dataset, some, _ALONE, device)
    together = model.trunk_features(images)
    for i in range(len(images)):
        for feature, alone in zip(together, model.trunk_features(images[i : i + 1]), strict=True):
            close = torch.allclose(
                feature[i : i + 1], alone, rtol=1e-4, atol=1e-5 * float(feature.abs().max())
            )
            if feature.dtype != torch.float32 or not close:
                return None
    return tuple(part_of(feature) for feature in together)


def _key(
    config: TrialConfig,
    data: DataConfig,
    dataset: Dataset,
    trunks: list[nn.Module],
    parts: tuple[Part, ...],
    device: torch.device,
) -> str:
    """Return a hash of everything that determines the features, bit by bit."""
    settings = config.backbone.model_dump(mode="json", exclude={"tune", "weights"})
    facts = {
        "data": [dataset.checksum, data.limit, dataset.card.shape, dataset.mean, dataset.std],
        "counts": {name: len(dataset.splits[name]) for name in SPLITS},
        "augment": config.augment.model_dump(),
        "architecture": [config.architecture.name, settings, parts],
        "trunks": [_hash(trunk) for trunk in trunks],
        "batch": evaluation_batch_size(dataset),
        "machine": [
            device.type,
            torch.cuda.get_device_name(device) if device.type == "cuda" else "",
            torch.backends.cpu.get_cpu_capability(),
            torch.get_num_threads(),
            torch.__version__,
            version("mtsearch"),
        ],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def _hash(trunk: nn.Module) -> str:
    """Return the SHA-256 of the code, the structure and the weights of a trunk."""
    digest = hashlib.sha256()
    for kind in dict.fromkeys(type(module) for module in trunk.modules()):
        digest.update(f"{kind.__module__}.{kind.__qualname__} {code_of(kind)}\n".encode())
    code = [getattr(module, "code", "") for module in trunk.modules()]  # of traced networks
    digest.update(f"{trunk!r} {getattr(trunk, 'needs', ())} {code}".encode())
    for name, value in (*trunk.named_parameters(), *trunk.named_buffers()):
        values = value.detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
