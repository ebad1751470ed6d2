"""Whether one sparsity ladder replaces separate sparse trainings: `python benchmarks/ladder.py
[data.root=DIR] [seeds=3] [limit=5000] [out=FILE]`.

Both sides train hard sharing on the first `limit` images of Cifar10Mnist with AdamW, batch 256 and
one-cycle schedules. `separate`: a dense network and one training for each level of sparsity
(`trial.sparsity=target`, rows by magnitude), 8 epochs each, 40 in all. `ladder`: 8 dense epochs,
then 3 epochs for each level, 20 in all. Peak rates are tuned over the same three values on seed
100. Compared are mean validation error and non-zero parameters by their hypervolume, normalised by
the ideal and the nadir of all points of both sides at the tuned rates.

A training that ends is a line of FILE (default `ladder.jsonl` in the cache folder) and is not
repeated. The last line is JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy.stats import t as student

from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.pareto.volume import measure_hypervolume
from mtsearch.population import build_trial

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mtsearch-front"
RATES, TUNING_SEED = (0.005, 0.002, 0.01), 100
LEVELS = (0.5, 0.7, 0.8, 0.9)
EPOCHS = {"separate": 8 * (1 + len(LEVELS)), "ladder": 8 + 3 * len(LEVELS)}


def configs(side: str, rate: float, seed: int) -> list[dict[str, Any]]:
    """The trainings of a side."""
    base = {
        "architecture": "hps",
        "epochs": {"search": 0, "retrain": 8},
        "batch_size": 256,
        "optimizer": {"name": "adamw", "lr": rate, "weight_decay": 0.01},
        "lr_schedule": "onecycle",
        "seed": seed,
    }
    if side == "ladder":
        return [{**base, "pareto_set": {"name": "sparsity_ladder", "levels": LEVELS, "epochs": 3}}]
    sparse = [
        {
            **base,
            "epochs": {"search": 3, "retrain": 5},
            "sparsity": {"mode": "target", "target": level, "method": "magnitude"},
        }
        for level in LEVELS
    ]
    return [base, *sparse]


def train(side: str, rate: float, seed: int, data: DataConfig) -> dict[str, Any]:
    """The points (mean error, non-zero parameters) of a side, and its CPU seconds."""
    began, points = time.process_time(), []
    for config in configs(side, rate, seed):
        trial: Any = build_trial(TrialConfig.model_validate(config), data)
        list(trial)
        found = [p.metrics for p in trial.points()] if side == "ladder" else [trial.selected]
        points += [[m["val/mean/error"], m["model/nonzero"]] for m in found]
    seconds = time.process_time() - began
    return {"side": side, "rate": rate, "seed": seed, "points": points, "cpu_seconds": seconds}


def hypervolume(points: np.ndarray, ideal: np.ndarray, nadir: np.ndarray) -> float:
    scaled = (points - ideal) / (nadir - ideal)
    inside = scaled[(scaled < 1).all(axis=1)]
    goals = ["min", "min"]
    return float(measure_hypervolume(inside, goals, np.ones(2)).value) if len(inside) else 0.0


def main() -> int:
    words = dict(word.split("=", 1) for word in sys.argv[1:])
    path, seeds = Path(words.get("out", CACHE / "ladder.jsonl")), int(words.get("seeds", 3))
    limit = int(words.get("limit", 5000))
    place = {"root": words.get("data.root"), "store": words.get("data.store")}
    data = DataConfig.model_validate({"dataset": "cifar10_mnist", "limit": limit, **place})
    rows: dict[tuple[str, float, int], dict[str, Any]] = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        row = json.loads(line)
        rows[row["side"], row["rate"], row["seed"]] = row

    def points(side: str, rate: float, seed: int) -> np.ndarray:
        key = (side, rate, seed)
        if key not in rows:
            rows[key] = train(side, rate, seed, data)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a") as file:
                file.write(json.dumps(rows[key]) + "\n")
        return np.array(rows[key]["points"], float)

    tuning = {(s, r): points(s, r, TUNING_SEED) for r in RATES for s in EPOCHS}
    every = np.concatenate(list(tuning.values()))
    box = every.min(axis=0), every.max(axis=0)
    best = {
        side: max(RATES, key=lambda rate: hypervolume(tuning[side, rate], *box)) for side in EPOCHS
    }
    found = {side: [points(side, best[side], seed) for seed in range(seeds)] for side in EPOCHS}
    every = np.concatenate([p for side in found.values() for p in side])
    box = every.min(axis=0), every.max(axis=0)
    values = {side: [hypervolume(p, *box) for p in found[side]] for side in EPOCHS}
    print(f"Cifar10Mnist, hps, {limit:,} images, {seeds} seeds; ideal {box[0]}, nadir {box[1]}")
    for side, epochs in EPOCHS.items():
        text = " ".join(f"{v:.3f}" for v in values[side])
        seconds = np.mean([rows[side, best[side], seed]["cpu_seconds"] for seed in range(seeds)])
        print(
            f"{side:9} {epochs:>3} epochs, rate {best[side]:g}, {seconds:.0f} CPU s: {text}, mean"
            f" {np.mean(values[side]):.3f}"
        )
    gap = np.subtract(values["ladder"], values["separate"])
    half = student.ppf(0.975, seeds - 1) * gap.std(ddof=1) / seeds**0.5 if seeds > 1 else np.nan
    print(f"ladder - separate: {gap.mean():+.3f} +- {half:.3f} (95 %)")
    print(json.dumps({"benchmark": "ladder", "rates": best, "epochs": EPOCHS, **values}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
