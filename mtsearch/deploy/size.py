"""The size of a network."""

from __future__ import annotations

from torch import Tensor, nn

from mtsearch.models import model_macs


def size_of(network: nn.Module, sample: tuple[int, ...] | Tensor) -> dict[str, int]:
    """Parameters, those of them that are not zero, multiply-accumulates of one sample, and entries
    of index buffers.

    Args:
        network: left as it is.
        sample: the shape of one example without the batch axis, or one sample (1, ...).
    """
    parameters = list(network.parameters())
    return {
        "parameters": sum(p.numel() for p in parameters),
        "nonzero": sum(int(p.count_nonzero()) for p in parameters),
        "macs": model_macs(network, sample),
        "index_entries": sum(
            b.numel() for name, b in network.named_buffers() if name.endswith((".select", ".group"))
        ),
    }
