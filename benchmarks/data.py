"""Datasets of image files: time and memory of their preparation and of training on them.

The script draws JPEGs in class folders in a temporary folder and checks:

- prepare: with two cores it is 1.7 times faster than with one, and takes less than 500 MB;
- memory: a training that streams takes less than 700 MB, worker processes included, beside its
  network and its activations; of that, a whole dataset takes less than 5 % of its size more than
  a part of 1,000 images, so a second training does not hold the data again;
- speed: streaming gives at least 0.9 times the images per second of memory for ResNet-18 on images
  of 128 pixels and 0.8 times for hard sharing on 32 pixels, after their reports were equal.

Memory is the proportional set size of all processes, in which shared pages count once. Usage:
python benchmarks/data.py [--count 20000] [--part prepare|memory|speed] [--large]

`--large` prepares 200,000 images of 64 pixels and trains on them for one epoch within 6 GB.
"""

import argparse
import io
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

CLASSES = 10
FASTER, PREPARE_MB, STREAM_MB, SECOND, LARGE_MB = 1.7, 500, 700, 0.05, 6000
SPEED = {"resnet18": 0.9, "hps": 0.8}


def draw(root, count, side):
    """Draw `count` JPEGs of `side` pixels in class folders, and their card; return its path."""
    for label in range(CLASSES):
        (root / "drawn" / f"class{label}").mkdir(parents=True)
    with multiprocessing.get_context("fork").Pool() as pool:
        parts = [(root, start, min(start + 500, count), side) for start in range(0, count, 500)]
        pool.starmap(_draw_part, parts)
    card = {
        "name": "drawn",
        "title": "Drawn images",
        "source": {
            "kind": "classification",
            "images": {"title": "Drawn", "names": ["drawn"], "test_fraction": 0.05},
        },
        "tasks": [
            {
                "name": "class",
                "outputs": CLASSES,
                "classes": [f"class{label}" for label in range(CLASSES)],
            }
        ],
        "shape": [3, side, side],
        "mean": [0.5] * 3,
        "std": [0.25] * 3,
        "val_fraction": 0.05,
        "licence": "none",
        "how_to_get": "run benchmarks/data.py",
    }
    path = root / "drawn.yaml"
    path.write_text(yaml.safe_dump(card), encoding="utf-8")
    return path


def _draw_part(root, start, stop, side):
    for number in range(start, stop):
        random = np.random.RandomState(number)
        coarse = random.randint(0, 256, (6, 6, 3)).astype(np.uint8)
        image = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
        noise = random.randint(-12, 13, (side, side, 1))
        pixels = np.clip(np.asarray(image).astype(np.int64) + noise, 0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "jpeg", quality=60)
        path = root / "drawn" / f"class{number % CLASSES}" / f"{number}.jpg"
        path.write_bytes(file.getvalue())


class Watched:
    """A process whose largest proportional set size, children included, is measured."""

    def __init__(self, words, cores=None, **data):
        """Start ``python benchmarks/data.py --worker``, or another program, on some cores."""
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cores or before)
        self.start = time.perf_counter()
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        os.sched_setaffinity(0, before)
        self.largest = self.last = 0.0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self):
        while self.process.poll() is None:
            self.last = sum(pss(number) for number in family(self.process.pid))
            self.largest = max(self.largest, self.last)
            time.sleep(0.1)

    def result(self):
        """The last line of its output; None without output."""
        output, _ = self.process.communicate()
        self.seconds = time.perf_counter() - self.start
        self._thread.join()
        if self.process.returncode:
            sys.exit(f"{self.process.args} ended with code {self.process.returncode}")
        lines = output.splitlines()
        return lines[-1] if lines else None


def family(number):
    """A process and its descendants, by number."""
    found = [number]
    for place in found:
        for task in Path(f"/proc/{place}/task").glob("*/children"):
            try:
                found += [int(word) for word in task.read_text().split()]
            except OSError:
                continue
    return found


def pss(number):
    """The proportional set size of a process in MB; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{number}/smaps_rollup").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) / 1024
    except (OSError, StopIteration):
        return 0.0


def prepared(card, root, store, **data):
    """Words that prepare the card's dataset."""
    pairs = {"store": store, "root": root, **data}
    program = [sys.executable, "-m", "mtsearch", "prepare", f"dataset={card}"]
    return [*program, *(f"data.{key}={value}" for key, value in pairs.items())]


def trained(trial, threads=1, measured=False, **data):
    """Words that train a trial and print its reports, or that print the MB of its network and
    activations (`measured`), in a process of their own, because memory stays with a process."""
    job = {
        "measured": measured,
        "trial": {**trial, "threads": threads},
        "data": {k: v if isinstance(v, int) else str(v) for k, v in data.items()},
    }
    return [sys.executable, __file__, "--worker", json.dumps(job)]


def work(job):
    """Train a trial and print its reports and seconds, or print the MB of its network and
    activations."""
    from mtsearch.config.schema import DataConfig, TrialConfig
    from mtsearch.training import Trial
    from mtsearch.training.costs import measure_step

    trial = Trial(TrialConfig.model_validate(job["trial"]), DataConfig.model_validate(job["data"]))
    if job["measured"]:
        cost = measure_step(trial.config, trial.dataset)
        print((cost.network + cost.activations) / 2**20)
        return
    reports = list(trial)
    seconds = reports[-1]["cost/seconds"]
    plain = [{k: v for k, v in r.items() if k != "cost/seconds"} for r in reports]
    print(json.dumps({"reports": plain, "seconds": seconds}))


def trial(name, epochs=1):
    """A dense trial of `epochs` epochs."""
    backbone = {"name": "torchvision", "model": "resnet18"} if name == "resnet18" else "cm"
    return {
        "architecture": "hps",
        "backbone": backbone,
        "batch_size": 64,
        "epochs": {"search": epochs, "retrain": 0},
        "sparsity": "none",
        "augment": {"flip": True, "crop": 4},
    }


def bar(name, value, bound, above=True, unit=""):
    """Print a figure beside its bar; return whether it is met."""
    met = value >= bound if above else value <= bound
    sign = "at least" if above else "at most"
    value, bound = (f"{v:.1e}" if 0 < v < 0.005 else f"{v:,.2f}" for v in (value, bound))
    print(f"{name}: {value}{unit} ({sign} {bound}{unit}) {'met' if met else 'MISSED'}")
    return met


def prepare_part(card, root, folder):
    """Time and memory of `prepare` with one and with two cores."""
    cores = sorted(os.sched_getaffinity(0))
    seconds, checksums, met = [], [], []
    for count in (1, 2):
        if len(cores) < count:
            print("prepare: there is only one core, so two are not compared")
            break
        store = folder / f"store{count}"
        run = Watched(prepared(card, root, store, format="arrays"), set(cores[:count]))
        run.result()
        seconds.append(run.seconds)
        (manifest,) = store.rglob("manifest.json")
        checksums.append(json.loads(manifest.read_text())["checksum"])
        met.append(bar(f"prepare, {count} core(s), memory", run.largest, PREPARE_MB, False, " MB"))
        print(f"prepare, {count} core(s): {run.seconds:.1f} s")
    assert len(set(checksums)) == 1, "the stores differ"
    if len(seconds) == 2:
        met.append(bar("prepare, speed of two cores", seconds[0] / seconds[1], FASTER))
    return all(met)


def memory_part(card, root, folder):
    """Memory of one training that streams, and of a second one beside it."""
    met = []
    for form in ("arrays", "encoded"):
        data = {"dataset": card, "root": root, "store": folder / "memory", "format": form}
        subprocess.run(
            prepared(card, root, folder / "memory", format=form),
            check=True,
            stdout=subprocess.DEVNULL,
        )
        (store,) = [p for p in (folder / "memory").rglob("data.mdb") if _is(p, form)]
        size = store.stat().st_size / 2**20
        settings = {"load": "stream", "workers": 1, **data}
        network = float(Watched(trained(trial("hps"), measured=True, **settings)).result())
        one = Watched(trained(trial("hps"), **settings))
        one.result()
        met.append(bar(f"{form}, one training", one.largest - network, STREAM_MB, False, " MB"))
        small = Watched(trained(trial("hps"), load="stream", workers=1, **data, limit=1000))
        small.result()
        added = max(0.0, one.largest - small.largest)
        met.append(bar(f"{form}, data of a training", added / size, SECOND, False, " of the data"))
    return all(met)


def _is(path, form):
    return path.parent.name.endswith("-encoded") == (form == "encoded")


def speed_part(card, root, folder, small_card, small_root):
    """Images per second of training from memory and from the store, equal reports first."""
    met = []
    sets = {"resnet18": (card, root, 512), "hps": (small_card, small_root, 10_000)}
    for name, (path, place, limit) in sets.items():
        reports, best = {}, {}
        ways = {"memory": ("arrays", "memory"), "stream": ("arrays", "stream")}
        ways["encoded"] = ("encoded", "stream")
        for _ in range(2):  # by turns, because other programs may use the machine
            for way, (form, load) in ways.items():
                store = folder / f"speed-{name}"
                data = {"dataset": path, "root": place, "store": store, "format": form}
                words = trained(trial(name), load=load, workers=1, limit=limit, threads=2, **data)
                found = json.loads(Watched(words).result())
                reports[way] = found["reports"]
                best[way] = min(best.get(way, 1e9), found["seconds"])
        assert reports["memory"] == reports["stream"] == reports["encoded"], "reports differ"
        print(f"{name}: {limit / best['memory']:,.0f} images per second from memory")
        met.append(bar(f"{name}, arrays", best["memory"] / best["stream"], SPEED[name]))
        met.append(bar(f"{name}, encoded", best["memory"] / best["encoded"], SPEED[name]))
    return all(met)


def large_part(folder, count):
    """Memory of preparing and training on many small images."""
    root = folder / "large"
    root.mkdir()
    card = draw(root, count, 64)
    run = Watched(prepared(card, root, folder / "large-store"))
    run.result()
    met = [bar("large, prepare", run.largest, PREPARE_MB, False, " MB")]
    data = {"dataset": card, "root": root, "store": folder / "large-store", "load": "stream"}
    training = Watched(trained(trial("hps"), workers=1, **data))
    training.result()
    print(f"large, {count:,} images: prepared in {run.seconds:.0f} s, an epoch in")
    print(f"  {training.seconds:.0f} s")
    met.append(bar("large, training", training.largest, LARGE_MB, False, " MB"))
    return all(met)


def main():
    """Run the parts; the exit code is 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--part", choices=("prepare", "memory", "speed"))
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--worker")
    arguments = parser.parse_args()
    if arguments.worker:
        work(json.loads(arguments.worker))
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.large:
            return 0 if large_part(folder, max(arguments.count, 200_000)) else 1
        root, small = folder / "root", folder / "small"
        root.mkdir()
        small.mkdir()
        card = draw(root, arguments.count, 128)
        met = []
        if arguments.part in (None, "prepare"):
            met.append(prepare_part(card, root, folder))
        if arguments.part in (None, "memory"):
            met.append(memory_part(card, root, folder))
        if arguments.part in (None, "speed"):
            small_card = draw(small, arguments.count, 32)
            met.append(speed_part(card, root, folder, small_card, small))
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
