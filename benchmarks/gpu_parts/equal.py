"""Equal: the losses of the device are those of the CPU in float64, and every path works there."""

from __future__ import annotations

import copy
import math
import os
import socket
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from gpu_parts.common import (
    SAMPLE,
    Results,
    Setup,
    difference,
    float64,
    new_trial,
    received,
    step_losses,
    without_dropout,
)
from mtsearch.config.registry import methods
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.population.population import Population
from mtsearch.training import Trial, World

STEPS = 10
FLOAT32, BFLOAT16, METHODS, RANKS = 1e-4, 2e-2, 1e-3, 1e-4  # largest relative differences
MASKS = DataConfig(dataset="drawn_scenes_masks", limit=32, size=32)
RESTORED = DataConfig(dataset="patches10_sr", limit=32)
SMALL = {"name": "sgd", "lr": 1e-4}  # max-pooling amplifies rounding errors of deep networks
WRN = {"name": "wrn", "depth": 10, "widen": 1}
ARCHITECTURES: dict[str, tuple[dict[str, Any], DataConfig]] = {
    "stl": ({"architecture": "stl"}, SAMPLE),
    "hps": ({"architecture": "hps"}, SAMPLE),
    "mdmtn": ({"architecture": "mdmtn"}, SAMPLE),
    "mtan": ({"architecture": "mtan"}, SAMPLE),
    "kdmtl": ({"architecture": {"name": "kdmtl", "teacher_epochs": 1}}, SAMPLE),
    "mtln": ({"architecture": "mtln", "backbone": WRN}, SAMPLE),
    "hps-wrn": ({"architecture": "hps", "backbone": WRN}, SAMPLE),
    "mtln_segnet": (
        {"architecture": "mtln_segnet", "backbone": "segnet", "optimizer": SMALL}, MASKS,
    ),
    "broadcast_scene": ({"architecture": "broadcast_scene", "backbone": WRN}, MASKS),
    "mixing": (
        {"architecture": {"name": "mixing", "branches": 2, "branch_losses": True},
         "backbone": "vdsr"},
        RESTORED,
    ),
    "weights_line": ({"pareto_set": "weights_line"}, SAMPLE),
    "low_rank": ({"pareto_set": "low_rank"}, SAMPLE),
}  # fmt: skip
for _name in methods("architecture"):
    if _name != "own":  # needs a network of the user
        ARCHITECTURES.setdefault(_name, ({"architecture": _name}, SAMPLE))
COMPILED = ("hps", "mdmtn", "hps-wrn")
RANDOM = ("rlw", "graddrop", "pcgrad", "gradvac", "sdmgrad")  # other draws on other devices
SMOKE = {"architectures": ("hps", "mdmtn"), "methods": ("linear", "mgda", "famo"), "steps": 2}


def run(setup: Setup) -> Results:
    """All checks on the device of `setup`; a few of them in a smoke test."""
    results = Results()
    for name, (changes, data) in ARCHITECTURES.items():
        if not setup.smoke or name in SMOKE["architectures"]:
            with results.attempt(name):
                _architecture(setup, results, name, changes, data)
    for name, level in _methods(setup):
        what = f"{name}, {level or 'loss'}"
        with results.attempt(what):
            _method(setup, results, what, name, level)
    for check in (_state, _population, _sparsity, _ranks):
        with results.attempt(check.__name__.strip("_")):
            check(setup, results)
    return results


def _architecture(
    setup: Setup, results: Results, name: str, changes: dict[str, Any], data: DataConfig
) -> None:
    steps = SMOKE["steps"] if setup.smoke else STEPS
    start = new_trial(changes, "cpu", data)
    with float64():
        exact = new_trial(changes, "cpu", data, start)
        expected = _stepped(exact, steps)
    variants = [("float32", False), ("bfloat16", False)]
    if name in COMPILED and not setup.smoke:
        variants += [("float32", True), ("bfloat16", True)]
    for precision, compile in variants:
        settings = {**changes, "precision": precision, "compile": compile}
        trial = new_trial(settings, setup.device.type, data, start)
        count = steps if precision == "float32" else 1
        missed = difference(_stepped(trial, count), expected[:count])
        bar = FLOAT32 if precision == "float32" else BFLOAT16
        what = f"{name}, {precision}, {'compile' if compile else 'eager'}"
        results.add(what, missed < bar, difference=missed, bar=bar)
    for _ in range(2):
        report = next(trial)
    results.add(
        f"{name}, two reports", math.isfinite(report["train/" + trial.tasks[0].name + "/loss"])
    )


def _stepped(trial: Trial, steps: int) -> list[list[float]]:
    if trial.phases[0].name == "teach":  # the teachers of KDMTL come first
        next(trial)
    return step_losses(trial, steps)


def _methods(setup: Setup) -> list[tuple[str, str | None]]:
    found = []
    for name, settings in methods("balancing").items():
        if setup.smoke and name not in SMOKE["methods"]:
            continue
        level = settings.model_fields.get("level")
        levels = [None] if level is None else getattr(level.annotation, "__args__", ())
        found += [(name, one) for one in levels]
    return found


def _method(setup: Setup, results: Results, what: str, name: str, level: str | None) -> None:
    balancing: dict[str, Any] = {"name": name} | ({"level": level} if level else {})
    if (name, level) == ("db_mtl", "feature"):
        balancing["memory"] = 0
    start = new_trial({"balancing": balancing}, "cpu")
    expected = step_losses(new_trial({"balancing": balancing}, "cpu", weights=start), 3)
    trial = new_trial({"balancing": balancing}, setup.device.type, weights=start)
    missed = difference(step_losses(trial, 3), expected)
    if name in RANDOM:
        results.add(what, math.isfinite(missed), difference=missed)
    else:
        results.add(what, missed < METHODS, difference=missed, bar=METHODS)


def _state(setup: Setup, results: Results) -> None:
    """A state saved on the device continues on the CPU and back."""
    changes = {"architecture": "mdmtn", "balancing": "mgda", "optimizer": "adamw"}
    first = new_trial(changes, setup.device.type)
    next(first)
    other = _continued(first, changes, "cpu")
    expected = step_losses(first, 2)
    missed = difference(step_losses(other, 2), expected)
    results.add("state, device to CPU", missed < METHODS, difference=missed, bar=METHODS)
    back = _continued(other, changes, setup.device.type)
    missed = difference(step_losses(back, 2), step_losses(other, 2))
    results.add("state, CPU to device", missed < METHODS, difference=missed, bar=METHODS)


def _continued(trial: Trial, changes: dict[str, Any], device: str) -> Trial:
    other = new_trial(changes, device)
    other.load_state_dict(copy.deepcopy(trial.state_dict()))
    without_dropout(other)
    return other


def _population(setup: Setup, results: Results) -> None:
    config = TrialConfig.model_validate(
        {
            "backbone": "cm",
            "architecture": "stl",
            "batch_size": 32,
            "epochs": {"search": 1, "retrain": 0},
            "population": {"name": "mto", "tasks": 3, "group_size": 2, "interval": 2},
            "device": setup.device.type,
        }
    )
    trial = Population(config, DataConfig(dataset="drawn_scenes", limit=96, size=32))
    report = next(trial)
    loss, there = report["population/task0/loss"], trial.device.type == setup.device.type
    results.add("population", there and math.isfinite(loss), loss=loss)


def _sparsity(setup: Setup, results: Results) -> None:
    """The wanted share of rows is zero on the device, and stays zero in the next step."""
    sparsity = {"mode": "target", "target": 0.5, "applications": 1}
    changes = {"sparsity": sparsity, "epochs": {"search": 2, "retrain": 1}}
    trial = new_trial({"architecture": "mdmtn", **changes}, setup.device.type)
    reports = list(trial)
    share = reports[-1]["model/sparsity_rate"]
    results.add("sparsity, half of the rows", 45 < share < 55, share=share)


def _ranks(setup: Setup, results: Results) -> None:
    """Data parallelism over all devices (two processes on a CPU) with synchronised statistics."""
    size = torch.cuda.device_count() if setup.cuda else 2
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    context = mp.get_context("spawn")
    queue = context.SimpleQueue()
    workers = mp.spawn(_rank, (size, port, setup.device.type, queue), nprocs=size, join=False)
    expected = step_losses(new_trial({"architecture": "mdmtn"}, setup.device.type), 3)
    found = received(queue, workers)
    while not workers.join():
        pass
    missed = difference(found, expected)
    backend = "nccl" if setup.cuda else "gloo"
    results.add(f"{size} rank(s), {backend}", missed < RANKS, difference=missed, bar=RANKS)


def _rank(rank: int, size: int, port: int, device: str, queue: Any) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    if device == "cuda":
        torch.cuda.set_device(rank)
    backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
    dist.init_process_group(backend, rank=rank, world_size=size)
    try:
        losses = step_losses(
            new_trial({"architecture": "mdmtn"}, device, world=World(rank, size)), 3
        )
        if device == "cuda":  # the collectives of states and gradients, also for one rank
            dist.all_reduce(torch.ones(2, device="cuda"))
        if rank == 0:
            queue.put(losses)
        dist.barrier()
    finally:
        dist.destroy_process_group()
