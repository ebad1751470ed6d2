"""Whether one training of a Pareto set replaces a grid of single preferences: `python
benchmarks/front.py [data.root=DIR] [dataset=cm|mm] [architectures=hps,mdmtn] [seeds=N] [limit=N]
[method=weights_line] [set_epochs=16] [grid_epochs=8] [box=IDEAL,IDEAL,NADIR,NADIR] [out=FILE]`.

Both sides train on the first `limit` (10,000) images of Cifar10Mnist or MultiMNIST with AdamW,
batch 256 and a one-cycle schedule. `grid`: ten preferences .05 ... .95, each with `grid_epochs`
epochs. `set`: one training with `trial.pareto_set=METHOD` and `set_epochs` epochs, 11 points.
Their peak rates are tuned over the same five values on seed 100, which is not among the N seeds
that are compared. Compared are the validation errors of the two tasks by their hypervolume,
normalised by the ideal and the nadir of all non-dominated points of both sides, all seeds and both
rates, or by those of `box`.

Each training that ends is a line of FILE (default `front.jsonl` in the cache folder); those that it
holds already are not trained again, so the program may be interrupted. `report=true` trains nothing
and prints what FILE has. The last line is JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy.stats import t as student

from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.pareto.dominance import non_dominated
from mtsearch.pareto.volume import measure_hypervolume
from mtsearch.population import build_trial

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mtsearch-front"
RATES = (0.005, 0.002, 0.01, 0.001, 0.02)  # the first one is compared before it is known to be best
GRID = tuple(round(0.05 + 0.1 * i, 2) for i in range(10))
TUNING_SEED, GOALS = 100, ["min", "min"]
DATASETS = {
    "cm": ("cifar10_mnist", "cm", ("image", "digit")),
    "mm": ("multimnist", "mm", ("left", "right")),
}


class Unit(NamedTuple):
    """One training: `weight` is the preference of the first task, None for a Pareto set, which is
    trained by `method`."""

    dataset: str
    limit: int
    architecture: str
    side: str
    epochs: int
    rate: float
    seed: int
    weight: float | None
    method: str | None = None


def train(unit: Unit, root: str | None, store: str | None) -> dict[str, Any]:
    """Train one unit; returns its points (errors of both tasks) and its seconds."""
    name, backbone, tasks = DATASETS[unit.dataset]
    config: dict[str, Any] = {
        "architecture": unit.architecture,
        "backbone": backbone,
        "epochs": {"search": 0, "retrain": unit.epochs},
        "batch_size": 256,
        "optimizer": {"name": "adamw", "lr": unit.rate, "weight_decay": 0.01},
        "lr_schedule": "onecycle",
        "seed": unit.seed,
        "report_every": unit.epochs,
    }
    if unit.weight is None:
        config["pareto_set"] = unit.method
    else:
        config["preference"] = dict(zip(tasks, (unit.weight, 1 - unit.weight), strict=True))
    data = DataConfig.model_validate(
        {"dataset": name, "limit": unit.limit, "root": root, "store": store}
    )
    began = time.process_time()
    trial: Any = build_trial(TrialConfig.model_validate(config), data)
    reports = list(trial)
    found = reports[-1:] if unit.weight is not None else [p.metrics for p in trial.points()]
    points = [[report[f"val/{task}/error"] for task in tasks] for report in found]
    return {**unit._asdict(), "points": points, "cpu_seconds": time.process_time() - began}


class Rows:
    """The rows of a file by unit; a torn last line is dropped."""

    def __init__(self, path: Path) -> None:
        self.path, self.rows = path, dict[Unit, dict[str, Any]]()
        for line in path.read_text().splitlines() if path.exists() else []:
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            if row["side"] == "set":  # rows of before there were other methods
                row.setdefault("method", "weights_line")
            self.rows[Unit(*(row.get(field) for field in Unit._fields))] = row

    def add(self, unit: Unit, row: dict[str, Any]) -> None:
        """Write a row and wait until it is on disk."""
        self.rows[unit] = row
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def points(self, units: list[Unit]) -> np.ndarray | None:
        """The points (n, 2) of units; None where one is missing."""
        if any(unit not in self.rows for unit in units):
            return None
        return np.array([p for unit in units for p in self.rows[unit]["points"]])


class Comparison:
    """The units of one architecture on one dataset."""

    def __init__(self, words: dict[str, str], architecture: str, rows: Rows) -> None:
        self.rows, self.architecture = rows, architecture
        self.dataset, self.limit = words.get("dataset", "cm"), int(words.get("limit", 10_000))
        self.seeds = range(int(words.get("seeds", 5)))
        self.method = words.get("method", "weights_line")
        given = words.get("box")
        self.given = None if given is None else np.array(given.split(","), float).reshape(2, 2)
        self.epochs = {
            "set": int(words.get("set_epochs", 16)),
            "grid": int(words.get("grid_epochs", 8)),
        }

    def units(self, side: str, rate: float, seed: int) -> list[Unit]:
        weights: tuple[float | None, ...] = (None,) if side == "set" else GRID
        head = (self.dataset, self.limit, self.architecture, side, self.epochs[side])
        method = self.method if side == "set" else None
        return [Unit(*head, rate, seed, weight, method) for weight in weights]

    def box(self, units: list[Unit]) -> tuple[np.ndarray, np.ndarray]:
        """The given ideal and nadir, else those of the non-dominated points of all units that have
        ended."""
        if self.given is not None:
            return self.given[0], self.given[1]
        found = [
            p for unit in units if unit in self.rows.rows for p in self.rows.rows[unit]["points"]
        ]
        points = np.array(found)
        front = points[non_dominated(points, GOALS)]
        return front.min(axis=0), front.max(axis=0)

    def hypervolume(self, units: list[Unit], box: tuple[np.ndarray, np.ndarray]) -> float | None:
        points = self.rows.points(units)
        if points is None:
            return None
        ideal, nadir = box
        scaled = (points - ideal) / np.where(nadir > ideal, nadir - ideal, 1.0)
        inside = scaled[(scaled < 1).all(axis=1)]
        if not len(inside):
            return 0.0
        return float(measure_hypervolume(inside, GOALS, np.ones(2)).value)

    def best_rate(self, side: str) -> float:
        """The rate with the largest hypervolume on the tuning seed; the first one until all are
        trained."""
        tuning = [u for s in self.epochs for r in RATES for u in self.units(s, r, TUNING_SEED)]
        if any(unit not in self.rows.rows for unit in tuning):
            return RATES[0]
        box = self.box(tuning)
        values = [self.hypervolume(self.units(side, rate, TUNING_SEED), box) for rate in RATES]
        return RATES[int(np.argmax(values))]  # type: ignore[arg-type]

    @property
    def tuned(self) -> bool:
        return all(
            unit in self.rows.rows
            for side in self.epochs
            for rate in RATES
            for unit in self.units(side, rate, TUNING_SEED)
        )

    def plan(self) -> Iterator[Unit]:
        """The units that are not trained yet, the first rate before the tuning."""
        for seed in self.seeds:
            for side in self.epochs:
                yield from self.units(side, RATES[0], seed)
        for side in self.epochs:
            for rate in RATES:
                yield from self.units(side, rate, TUNING_SEED)
        for seed in self.seeds:
            for side in self.epochs:
                yield from self.units(side, self.best_rate(side), seed)

    def summary(self) -> dict[str, Any]:
        """Print the comparison over the seeds that both sides have; returns its numbers."""
        rates = {side: self.best_rate(side) for side in self.epochs}
        every = [
            u for s in self.epochs for seed in self.seeds for u in self.units(s, rates[s], seed)
        ]
        if not any(unit in self.rows.rows for unit in every):
            return {}
        box = self.box(every)
        pairs = []
        for seed in self.seeds:
            pair = [self.hypervolume(self.units(s, rates[s], seed), box) for s in self.epochs]
            if None not in pair:
                pairs.append(pair)
        found = np.array(pairs, dtype=float).reshape(-1, 2)
        difference = found[:, 0] - found[:, 1]
        half = (
            float(student.ppf(0.975, len(found) - 1) * difference.std(ddof=1) / len(found) ** 0.5)
            if len(found) > 1
            else float("nan")
        )
        print(
            f"{self.dataset} {self.architecture}, {self.method}, {self.limit:,} images,"
            f" {len(found)} seeds, rates {'tuned' if self.tuned else 'NOT tuned'}; ideal"
            f" {box[0].round(2).tolist()}, nadir {box[1].round(2).tolist()}"
        )
        print(f"{'':6}{'epochs':>8}{'rate':>8}  {'hypervolume by seed':<34}{'mean':>6}")
        for i, side in enumerate(self.epochs):
            epochs = self.epochs[side] * (1 if side == "set" else len(GRID))
            values = " ".join(f"{v:.2f}" for v in found[:, i])
            mean = found[:, i].mean() if len(found) else float("nan")
            print(f"{side:6}{epochs:>8}{rates[side]:>8g}  {values:<34}{mean:>6.2f}")
        if len(found):
            print(f"set - grid: {difference.mean():+.3f} +- {half:.3f} (95 %)")
        return {
            "dataset": self.dataset,
            "architecture": self.architecture,
            "method": self.method,
            "seeds": len(found),
            "tuned": self.tuned,
            "rates": rates,
            "set": found[:, 0].tolist(),
            "grid": found[:, 1].tolist(),
        }


def main() -> int:
    words = dict(word.split("=", 1) for word in sys.argv[1:])
    rows = Rows(Path(words.get("out", CACHE / "front.jsonl")))
    root, store = words.get("data.root"), words.get("data.store")
    names = words.get("architectures", "hps,mdmtn").split(",")
    comparisons = [Comparison(words, name, rows) for name in names]
    for comparison in comparisons if words.get("report") != "true" else ():
        for unit in comparison.plan():
            if unit not in rows.rows:
                rows.add(unit, train(unit, root, store))
                print(json.dumps(rows.rows[unit]), file=sys.stderr, flush=True)
    print(json.dumps({"benchmark": "front", "rows": [c.summary() for c in comparisons]}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
