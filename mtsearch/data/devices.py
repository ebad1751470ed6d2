"""Which device a trial uses, and how tensors get there."""

from __future__ import annotations

import torch
from torch import Tensor

from mtsearch.config.errors import BadInput


def device_of(name: str) -> torch.device:
    """`auto`, `cpu` or `cuda` as a device: `auto` is this process's GPU where it has one.

    ``cuda`` is torch's current one: Ray shows an actor its own GPUs alone, and Ray Train makes each
    worker's own the current one.

    Raises:
        BadInput: `cuda` where torch finds no GPU.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise BadInput("`trial.device` is cuda, but torch finds no GPU here. Use `auto` or `cpu`.")
    return torch.device(
        ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
    )


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on a device. To a GPU it goes from pinned memory, and the CPU does not
    wait for it: torch keeps the pinned copy until the transfer is over. Nothing is copied where it
    lies there already."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
