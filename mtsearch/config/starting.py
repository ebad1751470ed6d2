"""The space to begin with on a dataset, from its card alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtsearch.config.cards import DatasetCard

_BACKBONES = {"vectors": "mlp", "arrays": "mlp"}
"""The backbone to begin with by the kind of a card's source; of images another one."""


def starting_space(card: DatasetCard, path: str) -> dict[str, Any]:
    """The tree of a space that searches size against error on a dataset.

    Args:
        card: of the dataset.
        path: of the card, or its name.
    """
    names = [task.name for task in card.tasks]
    several = len(names) > 1
    trial: dict[str, Any] = {
        "architecture": "hps",
        "backbone": _BACKBONES.get(str(card.source.get("kind")), "cm"),
        "balancing": "linear",
        "sparsity": {
            "mode": "target",
            "target": {"uniform": [0.1, 0.9], "default": 0.5},
            "method": {"choice": ["growl", "magnitude"], "default": "growl"},
        },
        "epochs": {"search": 6, "retrain": 6},
        "batch_size": 64,
        "optimizer": {
            "name": "adamw",
            "lr": {"loguniform": [0.0003, 0.01], "default": 0.002},
            "weight_decay": 0.01,
        },
        "lr_schedule": "onecycle",
    }
    if several:
        trial["architecture"] = {"choice": ["hps", "mdmtn"], "default": "hps"}
        trial["balancing"] = {"choice": ["linear", "gradnorm", "dwa"], "default": "linear"}
    stl = {"stl": {"architecture": "stl", "balancing": "linear"}}
    return {
        "name": card.name,
        "description": f"Mean error of {', '.join(names)[:200]} against the size of the network.",
        "data": {"dataset": path},
        "objectives": ["val/mean/error", "model/nonzero"],
        "search": {"trials": 20},
        "trial": trial,
        **({"controls": stl} if several else {}),
    }


def is_card(tree: Mapping[str, Any]) -> bool:
    """Whether the tree of a file is a data card, and not a space."""
    return "source" in tree and "tasks" in tree and "trial" not in tree
