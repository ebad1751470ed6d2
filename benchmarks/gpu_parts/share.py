"""Share: several trials on one device, each in its own process, and the share of the device that
the table recommends for a trial."""

from __future__ import annotations

import time
from typing import Any

import torch
import torch.multiprocessing as mp

from gpu_parts.common import Results, Setup, received
from gpu_parts.fast import prepared

COUNTS, SECONDS = (1, 2, 4, 8), 8.0
CASE = "hps-cm"
ENOUGH = 0.9  # of the highest total of examples per second


def run(setup: Setup) -> Results:
    """Examples per second of all processes together, and the memory of the device, by number."""
    results = Results()
    totals: dict[int, float] = {}
    for count in COUNTS[: 2 if setup.smoke else None]:
        if not setup.fits(60):
            results.add(f"{count} trial(s)", None, skipped="no time is left")
            continue
        with results.attempt(f"{count} trial(s)"):
            rates, memory = _together(setup, count)
            totals[count] = sum(rates)
            results.add(
                f"{count} trial(s)",
                None,
                examples_per_s=totals[count],
                gain=totals[count] / next(iter(totals.values())),
                used_MiB=memory,
            )
    if totals:
        results.add(f"recommended: resources.gpu={recommended(totals):g}", None)
    return results


def recommended(totals: dict[int, float]) -> float:
    """The share of a device for a trial: 1 over the smallest number of trials whose total of
    examples per second is at least 0.9 of the highest.

    Args:
        totals: examples per second of all trials together, by their number.
    """
    highest = max(totals.values())
    return 1 / min(count for count, total in totals.items() if total >= ENOUGH * highest)


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
    """Train for some seconds from the moment at which all processes are warm. On a GPU the first
    process compiles the training step; the others find it in torch's cache on disk."""
    torch.set_num_threads(1)
    trial = prepared(setup, CASE)
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
