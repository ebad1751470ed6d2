"""Share: several trials on one device, each in its own process."""

from __future__ import annotations

import time
from typing import Any

import torch
import torch.multiprocessing as mp

from gpu_parts.common import Results, Setup, received
from gpu_parts.fast import prepared

COUNTS, SECONDS = (1, 2, 4, 8), 8.0
CASE = "hps-cm"


def run(setup: Setup) -> Results:
    """Examples per second of all processes together, and the memory of the device, by number."""
    results = Results()
    alone = 0.0
    for count in COUNTS[: 2 if setup.smoke else None]:
        if not setup.fits(60):
            results.add(f"{count} trial(s)", None, skipped="no time is left")
            continue
        with results.attempt(f"{count} trial(s)"):
            rates, memory = _together(setup, count)
            alone = alone or sum(rates)
            results.add(
                f"{count} trial(s)",
                None,
                examples_per_s=sum(rates),
                gain=sum(rates) / alone,
                used_MiB=memory,
            )
    return results


def _together(setup: Setup, count: int) -> tuple[list[float], float]:
    context = mp.get_context("spawn")
    queue, start = context.SimpleQueue(), context.Barrier(count)
    seconds = 1.0 if setup.smoke else SECONDS
    workers = mp.spawn(_train, (setup, seconds, start, queue), nprocs=count, join=False)
    found = [received(queue, workers) for _ in range(count)]
    while not workers.join():
        pass
    return [rate for rate, _ in found], max(memory for _, memory in found)


def _train(rank: int, setup: Setup, seconds: float, start: Any, queue: Any) -> None:
    """Train for some seconds from the moment at which all processes are warm. Without compilation,
    which takes longer than the measurement."""
    torch.set_num_threads(1)
    trial = prepared(setup, CASE, compiled=False)
    trial._train_epoch()
    setup.wait()
    start.wait()
    before, images = time.perf_counter(), trial._examples
    while time.perf_counter() - before < seconds:
        trial._train_epoch()
        setup.wait()
    rate = (trial._examples - images) / (time.perf_counter() - before)
    used = 0.0
    if setup.cuda:
        free, total = torch.cuda.mem_get_info()
        used = (total - free) / 2**20
    queue.put((rate, used))
