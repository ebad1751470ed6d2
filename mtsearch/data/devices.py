"""The device of a trial, and transfers to it."""

from __future__ import annotations

import torch
from torch import Tensor

from mtsearch.config.errors import BadInput


def device_of(name: str) -> torch.device:
    """The device named `auto`, `cpu` or `cuda`; `auto` is the process's GPU if it has one.

    ``cuda`` is torch's current device: Ray makes only an actor's own GPUs visible to it, and Ray
    Train sets each worker's GPU as current.

    Raises:
        BadInput: `cuda` is requested but torch finds no GPU.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise BadInput("`trial.device` is cuda, but torch finds no GPU here. Use `auto` or `cpu`.")
    return torch.device(
        ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
    )


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a CPU tensor to a device; return it unchanged if it is there already.

    The transfer to a GPU is asynchronous, from pinned memory, which torch keeps until the transfer
    has finished.
    """
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
