"""A synthetic search of realistic shape: 24 trials on two errors and density, three controls,
failed and unfinished trials."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mtsearch.config.schema import Objective

OBJECTIVES = (
    Objective(metric="val/image/error", goal="min"),
    Objective(metric="val/digit/error", goal="min"),
    Objective(metric="model/density", goal="min"),
)
TWO = OBJECTIVES[:2]
LABEL = "patches10_digits (embedded sample; used in place of cifar10_mnist)"


def _metrics(split: str, image: float, digit: float) -> dict[str, float]:
    found = {"image": image, "digit": digit}
    return {
        f"{split}/{task}/{name}": value / scale
        for task, value in found.items()
        for name, scale in (("error", 1), ("loss", 40))
    }


def search(
    trials: int = 24, epochs: int = 10, seed: int = 0
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows and history. Trial 5 failed, trial 11 diverged (NaN), trial 17 is still running; the
    architecture of linear trials has no `mu`.
    """
    draw = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    history: list[dict[str, Any]] = []
    for i in range(trials):
        weight = float(draw.uniform(0.05, 0.95))
        target = float(draw.uniform(0.1, 0.9))
        lr = float(10 ** draw.uniform(-3.3, -2))
        arch = ["hps", "mdmtn"][int(draw.integers(2))]
        balancing = ["linear", "smooth_chebyshev", "chebyshev_al"][int(draw.integers(3))]
        luck = float(draw.gamma(2, 0.7))
        penalty = (
            8 * target**3 + 2.5 * abs(math.log10(lr) + 2.6) + luck - (1.5 if arch == "mdmtn" else 0)
        )
        image = 42 + 13 * (1 - weight) ** 2 + 1.8 * penalty
        digit = 2.6 + 5.5 * weight**2 + 0.35 * penalty
        density = round(1 - 0.92 * target, 4)
        config = {
            "trial.seed": 0,
            "trial.architecture.name": arch,
            "trial.backbone.name": "cm",
            "trial.preference.image": round(weight, 4),
            "trial.preference.digit": round(1 - weight, 4),
            "trial.balancing.name": balancing,
            "trial.balancing.mu": (
                None if balancing == "linear" else round(float(draw.uniform(0.05, 1)), 3)
            ),
            "trial.sparsity.mode": "target",
            "trial.sparsity.target": round(target, 4),
            "trial.optimizer.name": "adamw",
            "trial.optimizer.lr": lr,
            "trial.optimizer.betas": "[0.9, 0.999]",
            "trial.batch_size": 256,
        }
        name = f"{i:04d}"
        base = {
            "trial": name,
            "kind": "search",
            "control": None,
            "dataset": LABEL,
            "seed": 0,
            **config,
        }
        command = (
            f"python -m mtsearch.train space=pareto_cm trial.architecture={arch} "
            f"'trial.preference={{image: {weight:.4f}, digit: {1 - weight:.4f}}}' "
            f"trial.sparsity.target={target:.4f} trial.optimizer.lr={lr:.6g}"
        )
        state = {5: "failed", 11: "failed", 17: "running"}.get(i, "done")
        reports = {5: 0, 11: 3, 17: 4}.get(i, epochs)
        for r in range(1, reports + 1):
            ease = math.exp(-r / 2.2)
            point = _metrics("val", image + (88 - image) * ease, digit + (85 - digit) * ease**1.4)
            if i == 11 and r == 3:
                point = dict.fromkeys(point, math.nan)
            history.append(
                {
                    "trial": name,
                    "report": r,
                    "phase": "search" if r <= 4 else "retrain",
                    "epoch": r,
                    **point,
                    "cost/seconds": 1.7 * r,
                }
            )
        row = {**base, "state": state, "reason": None, "command": command}
        if state == "failed":
            row["reason"] = (
                "CUDA-free test: out of memory <script>alert(1)</script>"
                if i == 5
                else "val/image/loss is NaN at report 3"
            )
        if i == 11:
            row |= {
                "epoch": 3,
                **dict.fromkeys(_metrics("val", 0, 0), math.nan),
                "model/density": 1.0,
            }
        if state == "done":
            row |= {"epoch": epochs, **_metrics("val", round(image, 4), round(digit, 4))}
            row |= {
                "model/density": density,
                "model/params": int(105_000 * density),
                "model/sparsity_rate": round(100 * target, 2),
            }
            row |= {"cost/seconds": round(1.7 * epochs, 2), "cost/steps": 230 * epochs}
        rows.append(row)
    for name, image, digit, params in (
        ("stl", 47.1, 3.4, 210_000),
        ("plain", 49.8, 4.1, 105_000),
        ("published", 55.2, 3.9, 74_000),
    ):
        row = {
            "trial": name,
            "kind": "control",
            "control": name,
            "state": "done",
            "reason": None,
            "dataset": LABEL,
            "seed": 0,
        }
        row |= {
            "epoch": epochs,
            **_metrics("val", image, digit),
            **_metrics("test", image + 0.6, digit + 0.3),
        }
        row |= {"model/density": 0.35 if name == "published" else 1.0, "model/params": params}
        row |= {
            "trial.architecture.name": "stl" if name == "stl" else "hps",
            "trial.backbone.name": "cm",
        }
        row |= {"command": f"python -m mtsearch.train space=pareto_cm control={name}"}
        rows.append(row)
        for r in range(1, epochs + 1):
            point = _metrics("val", image + 40 * math.exp(-r / 2), digit + 70 * math.exp(-r / 2))
            history.append({"trial": name, "report": r, "phase": "train", "epoch": r, **point})
    return rows, history


def evaluated(rows: list[dict[str, Any]], names: set[str]) -> list[dict[str, Any]]:
    """The rows, with test metrics on those of the given names."""
    return [
        (
            row | _metrics("test", row["val/image/error"] + 0.8, row["val/digit/error"] + 0.4)
            if row["trial"] in names
            else row
        )
        for row in rows
    ]
