"""The process of each rank of `test_ranks`: trains the cases of a tier in float64 and writes their
weights and reports.

python tests/training/ranks.py RANK SIZE FOLDER TIER
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import save_file

from mtsearch.config.registry import methods
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.data import Dataset, Split, open_dataset
from mtsearch.training import Trial, World, checkpointed
from mtsearch.training.pareto_set import ParetoSetTrial

# methods that draw random numbers: equal on all ranks, but not to those of one process
RANDOM = ("rlw", "graddrop", "pcgrad", "gradvac", "sdmgrad")
# one case of each family of methods and of each kind of layer or batch; the others are slow tests
FAST = (
    "uncertainty-loss",  # weights of losses that the optimiser trains
    "famo-loss",  # losses after the step
    "chebyshev_al-loss",  # augmented Lagrangian
    "pcgrad-parameter",  # random orders
    "norm-mgda-feature",
    "norm-mgda-parameter",
    "augmented-sparse-ema",
    "one-image-left",
    "missing-labels-mgda-feature",
    "missing-labels-famo-loss",
    "disjoint-joint",
    "pareto-set",
)
JOINT = DataConfig(dataset="patches10_digits", limit=75)
RESTORED = DataConfig(dataset="patches10_sr", limit=75)
DISJOINT = DataConfig(dataset="patches10_digits5", limit=75)

WRN = {"name": "wrn", "depth": 10, "widen": 1}
ARCHITECTURES = {
    "stl": {"architecture": "stl"},
    "split": {"architecture": {"name": "hps", "split": 1}},
    "mtan": {"architecture": "mtan"},
    "kdmtl": {"architecture": {"name": "kdmtl", "teacher_epochs": 1}},
    "kdmtl-mgda-feature": {
        "architecture": {"name": "kdmtl", "teacher_epochs": 1},
        "balancing": {"name": "mgda", "level": "feature"},
    },
    "mtln": {"architecture": "mtln", "backbone": WRN},
    "task-affine": {"architecture": {"name": "hps", "norm": "task_affine"}},
    "task-statistics": {"architecture": {"name": "hps", "norm": "task_statistics"}},
    "mixing": {
        "architecture": {"name": "mixing", "branches": 2, "branch_losses": True},
        "backbone": "vdsr",
    },
}
"""In batches of 37, whose last one is a single image: the second rank has none."""


def levels(name: str) -> list[str | None]:
    field = methods("balancing")[name].model_fields.get("level")
    return [None] if field is None else list(getattr(field.annotation, "__args__", ()))


def cases(tier: str | None = None) -> dict[str, tuple[dict, DataConfig]]:
    """Return the settings by name, of the tier `fast` or `slow` or of both. 75 images in batches of
    32 leave a last batch of 11, which is not divisible by any number of ranks."""
    found: dict[str, tuple[dict, DataConfig]] = {}
    for name in methods("balancing"):
        for level in levels(name):
            settings = {"name": name} if level is None else {"name": name, "level": level}
            if (name, level) == ("db_mtl", "feature"):
                settings["memory"] = 0
            found[f"{name}-{level or 'loss'}"] = (
                {"balancing": settings, "backbone": "plain"},
                JOINT,
            )
    norm = {"backbone": "cm", "architecture": "mdmtn"}
    found["synchronised-norm"] = (norm, JOINT)
    found["norm-mgda-feature"] = (
        {**norm, "balancing": {"name": "mgda", "level": "feature"}},
        JOINT,
    )
    found["norm-mgda-parameter"] = (
        {**norm, "balancing": {"name": "mgda", "level": "parameter"}},
        JOINT,
    )
    found["augmented-sparse-ema"] = (
        {
            **norm,
            "augment": {"rotation": 10, "flip": True},
            "sparsity": {"mode": "target", "target": 0.5},
            "ema": 0.9,
            "clip": 1.0,
        },
        JOINT,
    )
    found["one-image-left"] = ({**norm, "batch_size": 37}, JOINT)
    for name, changes in ARCHITECTURES.items():
        found[f"architecture-{name}"] = (
            {"batch_size": 37, **changes},
            RESTORED if name == "mixing" else JOINT,
        )
    for name, level in (("gls", None), ("famo", None), ("mgda", "feature"), ("mgda", "parameter")):
        settings = {"name": name} if level is None else {"name": name, "level": level}
        found[f"missing-labels-{name}-{level or 'loss'}"] = (
            {"balancing": settings, "backbone": "plain", "batch_size": 8},
            JOINT,
        )
    found["disjoint-joint"] = (norm, DISJOINT)
    line = {"name": "weights_line", "points": 3, "statistics": 2}
    found["pareto-set"] = ({**norm, "pareto_set": line, "ema": 0.9, "clip": 1.0}, JOINT)
    low = {"name": "low_rank", "points": 3, "rank": 2}
    found["pareto-set-low-rank"] = ({**norm, "pareto_set": low}, JOINT)
    conditioned = {"name": "conditioned", "points": 3, "statistics": 2}
    found["pareto-set-conditioned"] = ({**norm, "pareto_set": conditioned}, JOINT)
    found["pareto-set-upgrad-feature"] = (
        {**norm, "pareto_set": line, "balancing": {"name": "upgrad", "level": "feature"}},
        JOINT,
    )
    found["disjoint-coin"] = ({**norm, "task_schedule": "coin"}, DISJOINT)
    assert set(FAST) <= set(found)
    return {name: case for name, case in found.items() if tier in (None, tier_of(name))}


def tier_of(name: str) -> str:
    return "fast" if name in FAST else "slow"


def few_digits(data: DataConfig) -> Dataset:
    """The dataset with a digit label on every tenth training image only."""
    dataset = open_dataset(data)
    train = dataset.splits["train"]
    digits = torch.where(torch.arange(len(train)) % 10 == 0, train.labels["digit"], -1)
    split = Split(train.images, {**train.labels, "digit": digits})
    return replace(dataset, splits={**dataset.splits, "train": split})


def config(changes: dict) -> TrialConfig:
    base = {
        "backbone": "cm",
        "batch_size": 32,
        "epochs": {"search": 1, "retrain": 1},
        "optimizer": {"name": "sgd", "lr": 0.05},
    }
    return TrialConfig.model_validate({**base, **changes})


def main(rank: int, size: int, folder: Path, tier: str) -> None:
    torch.set_default_dtype(torch.float64)
    # losses are computed in at least single precision; here in double precision
    torch.Tensor.float = torch.Tensor.double
    import tests.training.plain  # noqa: F401  (registers the backbone)

    if size > 1:
        dist.init_process_group(
            "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=size
        )
    reports, weights = {}, {}
    for name, (changes, data) in cases(tier).items():
        checkpointed.open_dataset = few_digits if name.startswith("missing") else open_dataset
        made = ParetoSetTrial if "pareto_set" in changes else Trial
        trial = made(config(changes), data, World(rank, size))
        reports[name] = list(trial)
        if isinstance(trial, ParetoSetTrial):
            reports[name] += [point.metrics for point in trial.points()]
        weights |= {
            f"{name}/{key}": value.contiguous() for key, value in trial.model.state_dict().items()
        }
    if size > 1:
        dist.destroy_process_group()
    save_file(weights, folder / f"weights-{size}-{rank}.safetensors")
    (folder / f"reports-{size}-{rank}.json").write_text(json.dumps(reports))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
