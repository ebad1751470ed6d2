"""The latency of a network, measured in the process of its trial."""

from __future__ import annotations

import statistics
import time

import torch

from mtsearch.config.schema import Latency
from mtsearch.deploy.compact import compact
from mtsearch.models import MultiTaskModel

WARM_UP, FEWEST, MOST = 3, 10, 100  # runs
ENOUGH = 0.5  # seconds, after which no further run is made


@torch.inference_mode()
def latency_of(network: MultiTaskModel, shape: tuple[int, ...], settings: Latency) -> float:
    """Measure the median time of a batch through the compacted network on the CPU.

    Args:
        network: is left as it is.
        shape: of one example, without the batch axis.
        settings: batch size and threads.

    Returns:
        Milliseconds for one batch.
    """
    model = compact(network, shape).model.cpu().eval()
    examples = torch.randn(settings.batch_size, *shape, generator=torch.Generator().manual_seed(0))
    if getattr(network, "inputs", ()):  # some are whole numbers, such as indices of words
        examples.zero_()
    threads = torch.get_num_threads()
    torch.set_num_threads(settings.threads)
    try:
        for _ in range(WARM_UP):
            model(examples)
        seconds: list[float] = []
        while len(seconds) < FEWEST or (sum(seconds) < ENOUGH and len(seconds) < MOST):
            start = time.perf_counter()
            model(examples)
            seconds.append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(threads)
    return 1000 * statistics.median(seconds)
