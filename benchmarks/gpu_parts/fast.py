"""Fast: `Trial` and a plain loop on the same network, in one process and interleaved blocks."""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gpu_parts.common import Results, Setup, new_trial
from mtsearch.config.schema import DataConfig
from mtsearch.data import Dataset, Split, open_dataset
from mtsearch.training import Trial, checkpointed

BAR = 0.95  # examples per second of `Trial` over those of the plain loop
BLOCKS, STEPS = 10, 24
DIGITS = "patches10_digits"
WRN = {"name": "wrn", "depth": 28, "widen": 4}
CASES: dict[str, tuple[dict[str, Any], DataConfig]] = {
    "hps-cm": ({"batch_size": 256}, DataConfig(dataset=DIGITS)),
    "mdmtn-cm": ({"batch_size": 256, "architecture": "mdmtn"}, DataConfig(dataset=DIGITS)),
    "wrn-28-4, 72 px": (
        {"batch_size": 128, "backbone": WRN},
        DataConfig(dataset="drawn_scenes_masks", size=72),
    ),
    "resnet50, 224 px": (
        {"batch_size": 128, "backbone": {"name": "torchvision", "model": "resnet50"}},
        DataConfig(dataset="drawn_scenes", size=224),
    ),
}  # fmt: skip


class Plain:
    """What a careful engineer writes for this one network: images on the device, channels-last,
    bfloat16, fused AdamW, compiled."""

    def __init__(self, trial: Trial, setup: Setup) -> None:
        split = trial.dataset.splits["train"]
        self.setup, self.batch = setup, trial.config.batch
        self.model = trial.model.train()
        self.tasks = [task for task in trial.tasks if task.kind == "classification"]
        self.forward = torch.compile(self.model) if setup.cuda else self.model
        self.images = split.images.to(setup.device).contiguous(memory_format=torch.channels_last)
        self.labels = {task.name: split.labels[task.name].to(setup.device) for task in self.tasks}
        std, mean = (
            torch.tensor(values, device=setup.device).view(1, -1, 1, 1)
            for values in (trial.dataset.std, trial.dataset.mean)
        )
        self.scale, self.shift = 1 / (255 * std), -mean / std
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, fused=True)

    def batches(self) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
        for rows in torch.randperm(len(self.images), device=self.setup.device).split(self.batch):
            images = self.images[rows].to(torch.float32, memory_format=torch.channels_last)
            yield (
                images.mul_(self.scale).add_(self.shift),
                {name: values[rows] for name, values in self.labels.items()},
            )

    def epoch(self) -> None:
        """One pass through the images."""
        for images, labels in self.batches():
            with torch.autocast(self.setup.device.type, torch.bfloat16, enabled=self.setup.cuda):
                outputs = self.forward(images)
            loss = sum(F.cross_entropy(outputs[n].float(), labels[n]) for n in labels) / len(labels)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()


def whole_batches(steps: int, batch: int) -> Callable[[DataConfig], Dataset]:
    """A dataset whose training images, repeated, fill a number of batches."""

    def opened(data: DataConfig) -> Dataset:
        dataset = open_dataset(data)
        train = dataset.splits["train"]
        rows = torch.arange(steps * batch) % len(train)
        tasks = [task for task in dataset.card.tasks if task.kind == "classification"]
        splits = {
            name: Split(part.images, {task.name: part.labels[task.name] for task in tasks})
            for name, part in dataset.splits.items()
        }
        splits["train"] = Split(
            train.images[rows].contiguous(memory_format=torch.channels_last),
            {task.name: train.labels[task.name][rows] for task in tasks},
        )
        card = dataset.card.model_copy(update={"tasks": tuple(tasks)})
        return replace(dataset, card=card, splits=splits)

    return opened


def prepared(setup: Setup, name: str) -> Trial:
    """The trial of a case: in bfloat16 and compiled on a GPU."""
    (changes, data), steps = CASES[name], STEPS
    if setup.smoke:
        changes, steps = {**changes, "batch_size": 16}, 2
    fast = {"precision": "bfloat16", "compile": True} if setup.cuda else {}
    settings = {"optimizer": {"name": "adamw", "lr": 1e-3}, **fast, **changes}
    checkpointed.open_dataset = whole_batches(steps, settings["batch_size"])
    try:
        return new_trial(settings, setup.device.type, data)
    finally:
        checkpointed.open_dataset = open_dataset


def run(setup: Setup) -> Results:
    """All cases; one small one in a smoke test."""
    results = Results()
    for name in list(CASES)[: 1 if setup.smoke else None]:
        if not setup.fits(90):
            results.add(name, None, skipped="no time is left")
            continue
        with results.attempt(name):
            _case(setup, results, name)
        if setup.cuda:
            torch.compiler.reset()
            torch.cuda.empty_cache()
    return results


def _case(setup: Setup, results: Results, name: str) -> None:
    ours, plain = prepared(setup, name), Plain(prepared(setup, name), setup)
    steps = -(-len(plain.images) // plain.batch)
    memory = {"ours": _memory(setup, ours._train_epoch), "plain": _memory(setup, plain.epoch)}
    times: dict[str, list[float]] = {"ours": [], "plain": []}
    for block in range(1 if setup.smoke else BLOCKS):
        turns = [("ours", ours._train_epoch), ("plain", plain.epoch)]
        for who, work in turns if block % 2 else reversed(turns):
            times[who].append(setup.seconds(work) / steps)
    ratio = statistics.median(p / o for o, p in zip(times["ours"], times["plain"], strict=True))
    speed = plain.batch / statistics.median(times["ours"])
    results.add(
        name, ratio >= BAR if setup.cuda else None, examples_per_s=speed, ratio=ratio, bar=BAR
    )
    if not setup.cuda:
        return
    results.add(f"{name}, MiB", None, **memory)
    for who, work in (("ours", ours._train_epoch), ("plain", plain.epoch)):
        busy, idle = device_use(setup, work, steps)
        results.add(f"{name}, device, {who}", None, busy=busy, idle_ms_per_step=idle)
    waits = synchronisations(ours)
    results.add(f"{name}, host waits in a step", not waits, count=len(waits), first=waits[:1])


def _memory(setup: Setup, work: Callable[[], Any]) -> float:
    """Peak memory of the device in MiB during `work`, which also warms up; 0 on a CPU."""
    if setup.cuda:
        torch.cuda.reset_peak_memory_stats()
    work()
    return torch.cuda.max_memory_allocated() / 2**20 if setup.cuda else 0.0


def device_use(setup: Setup, work: Callable[[], Any], steps: int) -> tuple[float, float]:
    """The share of the time in which kernels run, and the idle milliseconds of a step, from a trace
    of the device. Kernels that overlap are counted once each."""
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as trace:
        wall = setup.seconds(work)
    kernels = sum(event.self_device_time_total for event in trace.key_averages()) / 1e6
    return min(1.0, kernels / wall), 1e3 * max(0.0, wall - kernels) / steps


def synchronisations(trial: Trial) -> list[str]:
    """Where the host waits for the device in one step, from torch's warnings."""
    trainer = trial._trainer
    trainer._model.train()
    trainer._loader.start_epoch()
    group = tuple(range(len(trial.tasks)))
    sums = torch.zeros(2, len(group), dtype=torch.float64, device=trial.device)
    trainer._add(sums, group, trainer._stepper.step(trainer._loader.next_batches(group), 0.0))
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            trainer._set_lr(1, 2)
            parts = trainer._loader.next_batches(group)
            trainer._add(sums, group, trainer._stepper.step(parts, 0.0))
            trainer._sparsify(0, 1, 2)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return [f"{w.filename}:{w.lineno}" for w in caught if "synchroniz" in str(w.message)]
