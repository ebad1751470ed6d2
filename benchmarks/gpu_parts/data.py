"""Data: whether images in memory, and images decoded by workers, keep the device busy."""

from __future__ import annotations

import io
import time
from typing import Any

import numpy as np
import torch.multiprocessing as mp
from PIL import Image

from gpu_parts.common import Results, Setup
from gpu_parts.fast import device_use, prepared
from mtsearch.data.decoding import decode
from mtsearch.data.formats import Request

CASE, SIDE, WORKERS, IMAGES, SECONDS = "resnet50, 224 px", 224, 8, 64, 5.0
BAR = 0.9  # share of the time in which the device is busy


def run(setup: Setup) -> Results:
    """The busy share with images in memory, and the share that decoding workers could feed."""
    results = Results()
    name = "hps-cm" if setup.smoke else CASE
    with results.attempt(f"{name}, images in memory"):
        trial = prepared(setup, name, compiled=False)
        trial._train_epoch()
        images = trial._examples
        seconds = setup.seconds(trial._train_epoch)
        needed = (trial._examples - images) / seconds
        if setup.cuda:
            busy, idle = device_use(setup, trial._train_epoch, trial._steps)
            results.add(f"{name}, images in memory", busy >= BAR, busy=busy, bar=BAR,
                        idle_ms_per_step=idle, images_per_s=needed)  # fmt: skip
        else:
            results.add(f"{name}, images in memory", None, images_per_s=needed)
        workers = 2 if setup.smoke else WORKERS
        rate = decoding_rate(workers, 0.5 if setup.smoke else SECONDS)
        fed = min(1.0, rate / needed)
        limit = "the device" if fed >= BAR else "decoding"
        results.add(f"{workers} decoding workers, {SIDE} px JPEG", None, images_per_s=rate,
                    fed=fed, limited_by=limit)  # fmt: skip
    results.add("streaming into a trial", None, skipped="images are read into memory once")
    return results


def decoding_rate(workers: int, seconds: float) -> float:
    """Images that processes decode in a second with the functions that prepare datasets."""
    random = np.random.default_rng(0)
    files = []
    for _ in range(IMAGES):  # smooth images, whose size as JPEG is that of photographs
        coarse = random.integers(0, 256, (28, 28, 3), dtype=np.uint8)
        out = io.BytesIO()
        Image.fromarray(coarse).resize((SIDE, SIDE)).save(out, "JPEG", quality=90)
        files.append(out.getvalue())
    context = mp.get_context("spawn")
    start: Any = context.Barrier(workers)
    with context.Pool(workers, initializer=_share, initargs=(start, files, seconds)) as pool:
        return sum(pool.map(_decode, range(workers), chunksize=1))


def _share(start: Any, files: list[bytes], seconds: float) -> None:
    globals().update(_start=start, _files=files, _seconds=seconds)


def _decode(_: int) -> float:
    start, files, seconds = (globals()[key] for key in ("_start", "_files", "_seconds"))
    start.wait()
    before, count = time.perf_counter(), 0
    while time.perf_counter() - before < seconds:
        decode(files[count % len(files)], Request((3, SIDE, SIDE)), "an image")
        count += 1
    return count / (time.perf_counter() - before)
