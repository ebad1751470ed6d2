"""Data: whether images in memory, and image files that workers decode, keep the device busy."""

from __future__ import annotations

import io
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch.multiprocessing as mp
import yaml
from PIL import Image

from gpu_parts.common import Results, Setup, difference, new_trial
from gpu_parts.fast import device_use
from mtsearch.config.schema import DataConfig
from mtsearch.data import prepare
from mtsearch.data.decoding import decode
from mtsearch.data.formats import Request
from mtsearch.training import Trial

BAR = 0.9  # share of the time in which the device is busy
CLASSES, RATED, SECONDS = 10, 64, 5.0  # images and seconds of the rate of decoding alone
FULL = {"side": 224, "images": 128 * 32, "batch": 128, "workers": 8}
SMALL = {"side": 32, "images": 96, "batch": 16, "workers": 2}
RESNET50 = {"backbone": {"name": "torchvision", "model": "resnet50"}, "precision": "bfloat16"}


def run(setup: Setup) -> Results:
    """The busy share of the device with images in memory and with image files that are streamed,
    and what limits the latter."""
    results = Results()
    form = SMALL if setup.smoke else FULL
    with tempfile.TemporaryDirectory() as folder, results.attempt("data"):
        card = draw_files(Path(folder), form)
        memory, losses = _passes(setup, results, "in memory", form, card, "memory")
        streamed, again = _passes(setup, results, "streamed", form, card, "stream")
        if not setup.cuda:  # kernels of a GPU add in another order from pass to pass
            missed = difference([again], [losses])
            results.add("streamed, losses of the first pass", missed == 0, difference=missed)
        rate = decoding_rate(form, 0.5 if setup.smoke else SECONDS)
        found = limit(rate, memory["images_per_s"], streamed)
        results.add(f"{form['workers']} decoding workers alone", None, images_per_s=rate,
                    streaming_is_limited_by=found)  # fmt: skip
    return results


def _passes(
    setup: Setup, results: Results, what: str, form: dict[str, int], card: Path, load: str
) -> tuple[dict[str, float], list[float]]:
    """Two passes through the images, of which the second is measured: its figures, and the losses
    of the first."""
    data = DataConfig(
        dataset=str(card),
        root=card.parent,
        store=card.parent / "store",
        format="encoded",
        load=load,
        workers=form["workers"],
    )
    prepare(data)
    changes = {"batch_size": form["batch"], **({} if setup.smoke else RESNET50)}
    trial: Trial = new_trial(changes, setup.device.type, data)
    losses = list(trial._train_epoch().values())
    before = trial._examples
    seconds = setup.seconds(trial._train_epoch)
    figures = {"images_per_s": (trial._examples - before) / seconds}
    passed = None
    if setup.cuda:
        steps = -(-(trial._examples - before) // form["batch"])
        figures["busy"], figures["idle_ms_per_step"] = device_use(setup, trial._train_epoch, steps)
        # of streamed files, the next row says what limits them
        passed = figures["busy"] >= BAR or (None if load == "stream" else False)
    network = "HPS-CM" if setup.smoke else "ResNet-50"
    results.add(f"{network}, {form['side']} px files, {what}", passed, **figures)
    return figures, losses


def limit(rate: float, memory: float, streamed: dict[str, float]) -> str:
    """What limits training on streamed files.

    Args:
        rate: images per second of the decoding workers alone.
        memory: images per second of the training with images in memory.
        streamed: the figures of the training on streamed files, with `busy` on a GPU.
    """
    if streamed.get("busy", streamed["images_per_s"] / memory) >= BAR:
        return "the device"
    if rate < memory / BAR:
        return "decoding"
    return "starting the workers, copies to the device"


def draw_files(folder: Path, form: dict[str, int]) -> Path:
    """JPEG files in class folders, and the path of their card."""
    random = np.random.default_rng(0)
    for label in range(CLASSES):
        (folder / "drawn" / f"class{label}").mkdir(parents=True)
    for number in range(form["images"] * 5 // 4):
        path = folder / "drawn" / f"class{number % CLASSES}" / f"{number}.jpg"
        path.write_bytes(_jpeg(random, form["side"]))
    card = {
        "name": "drawn",
        "title": "Drawn images",
        "source": {
            "kind": "classification",
            "images": {"title": "Drawn", "names": ["drawn"], "test_fraction": 0.1},
        },
        "tasks": [
            {
                "name": "class",
                "outputs": CLASSES,
                "classes": [f"class{label}" for label in range(CLASSES)],
            }
        ],
        "shape": [3, form["side"], form["side"]],
        "mean": [0.5] * 3,
        "std": [0.25] * 3,
        "val_fraction": 0.1,
        "licence": "none",
        "how_to_get": "run benchmarks/gpu.py",
    }
    path = folder / "drawn.yaml"
    path.write_text(yaml.safe_dump(card), encoding="utf-8")
    return path


def _jpeg(random: np.random.Generator, side: int) -> bytes:
    """A smooth image, whose size as JPEG is that of a photograph."""
    coarse = random.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(coarse).resize((side, side)).save(out, "JPEG", quality=90)
    return out.getvalue()


def decoding_rate(form: dict[str, int], seconds: float) -> float:
    """Images per second that worker processes decode with the functions that read datasets."""
    random = np.random.default_rng(0)
    files = [_jpeg(random, form["side"]) for _ in range(RATED)]
    context, workers = mp.get_context("spawn"), form["workers"]
    start: Any = context.Barrier(workers)
    given = (start, files, form["side"], seconds)
    with context.Pool(workers, initializer=_share, initargs=given) as pool:
        return sum(pool.map(_decode, range(workers), chunksize=1))


def _share(start: Any, files: list[bytes], side: int, seconds: float) -> None:
    globals().update(_start=start, _files=files, _side=side, _seconds=seconds)


def _decode(_: int) -> float:
    start, files, side, seconds = (
        globals()[key] for key in ("_start", "_files", "_side", "_seconds")
    )
    start.wait()
    before, count = time.perf_counter(), 0
    while time.perf_counter() - before < seconds:
        decode(files[count % len(files)], Request((3, side, side)), "an image")
        count += 1
    return count / (time.perf_counter() - before)
