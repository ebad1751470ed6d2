"""What a training step costs beside a plain PyTorch loop: `python benchmarks/step.py [blocks]`.

Ours is `Trial` as a search runs it: batching, augmentation, losses that allow for missing labels,
metrics, balancing, and GrOWL's prox, applied twice as often per step as by default and kept after
every step. The plain loop is what a careful engineer writes for this one model: tensors in memory,
channels-last, fused AdamW, the sum of two cross-entropies, nothing else. First both train the dense
model from the same seed and must end with the same weights; only then are they timed, in
interleaved blocks of one epoch. With rotation both augment by the same batched code, so that the
ratio shows the loop alone.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import torch.nn.functional as F

from mtsearch.config.schema import Augment, DataConfig, TrialConfig
from mtsearch.data import open_dataset
from mtsearch.training import Trial
from mtsearch.training.loaders import make_batches

BAR, BATCH, STEPS = 1.10, 256, 10
DATA = DataConfig(dataset="patches10_digits", limit=BATCH * STEPS)


def settings(architecture: str, rotation: float, sparse: bool) -> TrialConfig:
    sparsity = {"mode": "target", "target": 0.5, "applications": 1} if sparse else "none"
    tree = {
        "architecture": architecture,
        "backbone": "cm",
        "batch_size": BATCH,
        "optimizer": {"name": "adamw", "lr": 1e-3},
    }
    return TrialConfig.model_validate(
        {
            **tree,
            "sparsity": sparsity,
            "augment": {"rotation": rotation},
            "epochs": {"search": 1000, "retrain": 0},
        }
    )


class Plain:
    """The hand-tuned loop on the trial's model."""

    def __init__(self, trial: Trial, rotation: float) -> None:
        dataset = open_dataset(DATA)
        split = dataset.splits["train"]
        self.model = trial.model.train()
        self.images = split.images.contiguous(memory_format=torch.channels_last)
        self.labels = split.labels
        self.scale = torch.tensor([1 / (255 * s) for s in dataset.std]).view(1, 3, 1, 1)
        self.shift = torch.tensor(
            [-m / s for m, s in zip(dataset.mean, dataset.std, strict=True)]
        ).view(1, 3, 1, 1)
        self.generator = torch.Generator().manual_seed(0)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=1e-3, weight_decay=0.01, fused=True
        )
        self.rotated = (
            make_batches(dataset, split, BATCH, torch.device("cpu"), Augment(rotation=rotation))
            if rotation
            else None
        )

    def batches(self):
        if self.rotated is not None:
            yield from self.rotated.shuffled(self.generator)
            return
        order = torch.randperm(len(self.images), generator=self.generator)
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            images = self.images[rows].to(torch.float32, memory_format=torch.channels_last)
            yield (
                images.mul_(self.scale).add_(self.shift),
                {name: values[rows] for name, values in self.labels.items()},
            )

    def epoch(self) -> None:
        for images, labels in self.batches():
            outputs = self.model(images)
            loss = 0.5 * F.cross_entropy(outputs["image"], labels["image"]) + 0.5 * F.cross_entropy(
                outputs["digit"], labels["digit"]
            )
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()


def check_equal(architecture: str) -> float:
    """Largest relative difference of any weight after an epoch of both, dense, from one seed."""
    trial = Trial(settings(architecture, 0, sparse=False), DATA)
    other = Plain(Trial(settings(architecture, 0, sparse=False), DATA), 0)
    trial._train_epoch()
    other.epoch()
    pairs = zip(trial.model.state_dict().values(), other.model.state_dict().values(), strict=True)
    return max(
        ((a - b).abs().max() / b.abs().max().clamp(min=1e-12)).item()
        for a, b in pairs
        if a.is_floating_point()
    )


def measure(architecture: str, rotation: float, blocks: int) -> dict[str, float]:
    ours = Trial(settings(architecture, rotation, sparse=True), DATA)
    plain = Plain(Trial(settings(architecture, rotation, sparse=False), DATA), rotation)
    times: dict[str, list[float]] = {"ours": [], "plain": []}
    for block in range(blocks + 2):
        turns = [("ours", ours._train_epoch), ("plain", plain.epoch)]
        for name, work in turns if block % 2 else reversed(turns):
            start = time.perf_counter()
            work()
            if block >= 2:
                times[name].append((time.perf_counter() - start) / STEPS)
    ratio = statistics.median(a / b for a, b in zip(times["ours"], times["plain"], strict=True))
    return {
        "ours_ms": 1e3 * statistics.median(times["ours"]),
        "plain_ms": 1e3 * statistics.median(times["plain"]),
        "ratio": ratio,
    }


def main() -> int:
    torch.set_num_threads(1)
    blocks = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    figures, met = {}, True
    print(
        f"{'architecture':<14}{'augmentation':<14}{'ours ms/step':>14}"
        f"{'plain ms/step':>15}{'ratio':>8}"
        f"   bar {BAR}"
    )
    for architecture in ("hps", "mdmtn"):
        difference = check_equal(architecture)
        if difference > 1e-6:
            print(f"{architecture}: results differ by {difference:.1e}, nothing was timed")
            return 1
        for rotation in (0.0, 20.0):
            row = measure(architecture, rotation, blocks)
            name = "rotation" if rotation else "none"
            figures[f"{architecture}/{name}"] = {**row, "difference": difference}
            met = met and row["ratio"] <= BAR
            print(
                f"{architecture:<14}{name:<14}{row['ours_ms']:>14.1f}{row['plain_ms']:>15.1f}{row['ratio']:>8.3f}"
            )
    print(
        json.dumps(
            {
                "benchmark": "step",
                "batch": BATCH,
                "blocks": blocks,
                "bar": BAR,
                "met": met,
                "figures": figures,
            }
        )
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
