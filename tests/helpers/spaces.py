"""Small spaces for the tests of the search."""

from __future__ import annotations

from pathlib import Path

from mtsearch.config.space import Space


def space(
    root: Path | str,
    *,
    trials: int = 5,
    sampler: str | dict = "grid",
    epochs: int = 3,
    slots: int = 1,
    **search,
) -> Space:
    """Batch sizes 1, 2, ... as a grid (they name the trials for `fake.order`), or a mixed space for
    other samplers."""
    trial: dict = {
        "epochs": {"search": 1, "retrain": epochs - 1},
        "batch_size": {"choice": [1, 2, 3, 4, 5, 6, 7, 8], "default": 1},
    }
    if sampler != "grid":
        trial |= {
            "epochs": {"search": 1, "retrain": epochs - 1},
            "optimizer": {"name": "adam", "lr": {"loguniform": [1e-5, 1e-1], "default": 1e-3}},
            "preference": {"simplex": ["image", "digit"], "default": "equal"},
            "sparsity": {
                "choice": [
                    "none",
                    {"mode": "target", "target": {"uniform": [0.1, 0.9], "default": 0.5}},
                ],
                "default": "none",
            },
        }
    return Space(
        {
            "name": "toy",
            "data": {"dataset": "cifar10_mnist", "limit": 200},
            "resources": {"cpu": 0.5},
            "search": {"sampler": sampler, "trials": trials, "slots": slots, **search},
            "results": {"root": str(root)},
            "objectives": ["val/image/error", "val/digit/error"],
            "trial": trial,
            "controls": {"stl": {"architecture": "stl", "batch_size": 8}},
        }
    )


def real(root: Path | str, *, slots: int = 1, sampler: str = "grid") -> Space:
    """Two batch sizes and a sparse search with real trials of three short epochs; batch sizes name
    them for `fake.order`."""
    raw = space(root, trials=2, epochs=3, slots=slots, sampler=sampler).raw
    raw["trial"] = raw["trial"] | {
        "architecture": "hps",
        "epochs": {"search": 1, "retrain": 2},
        "sparsity": {"mode": "target", "target": 0.3},
        "batch_size": {"choice": [32, 64], "default": 32},
    }
    if sampler == "grid":
        raw["trial"]["optimizer"] = {"name": "adamw", "lr": 0.003}
    raw["controls"] = {}
    return Space(raw)
