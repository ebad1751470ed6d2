"""Time from one trial to the next: in a warm actor, as searches run them, against a fresh actor for each trial.

A trial here is one epoch of hard sharing on 100 images of the embedded sample; its own seconds of training are taken off. The figure is the
slope of the time from the first end to the last over the number of trials, so what is paid once for a search does not count.
Usage: python benchmarks/turnover.py
"""

import json
import os
import sys
import tempfile

import numpy as np
from rich.console import Console
from rich.table import Table

from mtsearch.config.space import Space
from mtsearch.tuning import engine
from mtsearch.tuning.cluster import cluster
from mtsearch.tuning.rundir import RunDirectory

COUNTS = {"warm": (4, 12, 20), "fresh": (2, 3, 4)}  # trials a search
BOUND = 0.3  # seconds that a warm start may take
VOLATILE = ("cost/seconds", "command")


def space(folder, trials):
    return Space(
        {
            "name": "turnover",
            "data": {"dataset": "cifar10_mnist", "limit": 100},
            "search": {"sampler": "random", "trials": trials, "slots": 1},
            "results": {"root": folder},
            "objectives": ["val/image/error", "val/digit/error"],
            "trial": {
                "epochs": {"search": 0, "retrain": 1},
                "optimizer": {"name": "adam", "lr": {"loguniform": [1e-4, 1e-2], "default": 1e-3}},
            },
        }
    )


def search(way, trials, folder):
    """Run one search and return its rows and the seconds from the first end to the last that were not training."""
    run = engine.tune.run
    engine.tune.run = lambda *args, **settings: run(*args, **{**settings, "reuse_actors": way == "warm"})
    try:
        with open(os.devnull, "w") as silence:
            engine.run(space(f"{folder}/{way}{trials}", trials), name="turnover", console=Console(file=silence))
    finally:
        engine.tune.run = run
    (path,) = (entry.path for entry in os.scandir(f"{folder}/{way}{trials}/turnover"))
    found = RunDirectory(path)
    events = list(found.events())
    times = [e["time"] for e in events if e["event"] == "end"]
    rows = found.rows()
    return rows, times[-1] - times[0] - sum(row["cost/seconds"] for row in rows[1:])


def main():
    table = Table("way", "trials", "seconds beside training")
    slopes = {}
    with tempfile.TemporaryDirectory() as folder, cluster():
        search("warm", 2, f"{folder}/first")  # the machine's caches are warm for both
        for way, counts in COUNTS.items():
            seconds = []
            for trials in counts:
                rows, spent = search(way, trials, folder)
                kept = [{k: v for k, v in row.items() if k not in VOLATILE and not k.startswith("test/")} for row in rows]
                if way == "warm" and trials == max(counts):
                    expected = kept
                assert kept == expected[:trials] if way == "fresh" else True, "the way of starting must not change a number"
                seconds.append(spent)
                table.add_row(way, str(trials), f"{spent:.2f}")
            slopes[way] = float(np.polyfit(counts, seconds, 1)[0])
    console = Console()
    console.print(table)
    console.print(
        f"a trial starts in {slopes['warm']:.3f} s in a warm actor (bound {BOUND} s), in {slopes['fresh']:.2f} s in a fresh one",
        soft_wrap=True,
    )
    figures = {f"{way}_seconds": round(slope, 4) for way, slope in slopes.items()}
    ratio = slopes["fresh"] / slopes["warm"]
    print(json.dumps({"benchmark": "turnover", **figures, "ratio": round(ratio, 1), "bound_seconds": BOUND, "cores": os.cpu_count()}))
    return 0 if slopes["warm"] < BOUND else 1


if __name__ == "__main__":
    sys.exit(main())
