"""`resources.gpu: auto`: the share of a GPU that each trial of a search reserves."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.config.space import Space
from mtsearch.data import open_dataset
from mtsearch.jobs.checks import locate_error, variants
from mtsearch.training.costs import measure_step

COUNTS = (8, 4, 2, 1)
"""Trials on one GPU: those that `benchmarks/gpu.py --part share` measures."""
PROGRAM = 1 << 30  # bytes of a process on the device, beside its tensors; an allowance
USABLE = 0.9  # of the memory of a GPU
_TIMEOUT = 120  # seconds
_MEMORY = """
import torch
devices = range(torch.cuda.device_count())
print(min(torch.cuda.get_device_properties(i).total_memory for i in devices))
"""


def with_gpu_share(space: Space, data: DataConfig, nodes: Sequence[Mapping[str, float]]) -> Space:
    """The space with a number in place of `resources.gpu: auto`; the space itself without `auto`.

    The share is 0 where no node has a GPU or no trial uses one. It is 1 for trials with several
    workers, which need a GPU each, and for populations, whose memory one step does not show. Else
    it is 1/8, 1/4, 1/2 or 1, the smallest that fits the memory of a GPU of this machine by one step
    of each network of the space.

    Args:
        space: the search.
        data: its data settings, with concrete paths.
        nodes: the resources of each node of the cluster, by Ray's resource names.

    Raises:
        BadInput: a trial has to use a GPU and there is none, or the GPUs cannot be probed.
    """
    if space.config.resources.gpu != "auto":
        return space
    found = copy.copy(space)
    resources = space.config.resources.model_copy(update={"gpu": _share(space, data, nodes)})
    found.config = space.config.model_copy(update={"resources": resources})
    return found


def _share(space: Space, data: DataConfig, nodes: Sequence[Mapping[str, float]]) -> float:
    possible = list(variants(space))
    if not any(node.get("GPU", 0) for node in nodes):
        for variant in possible:
            if variant.config.device == "cuda":
                text = (
                    "`trial.device` is cuda, but `resources.gpu` is auto and no node has a GPU. Set"
                    " trial.device=auto, or add a node with a GPU."
                )
                raise BadInput(locate_error(space, variant, text))
        return 0.0
    used = [variant.config for variant in possible if variant.config.device != "cpu"]
    if not used:
        return 0.0
    if space.config.workers > 1 or any(config.population is not None for config in used):
        return 1.0
    memory = gpu_memory()
    dataset = open_dataset(data)
    largest: dict[str, TrialConfig] = {}
    for config in used:  # the memory grows with the batch
        key = repr((config.architecture, config.backbone, config.groups))
        if key not in largest or config.batch > largest[key].batch:
            largest[key] = config
    needed = max(measure_step(config, dataset).memory for config in largest.values())
    return share_for(needed, memory)


def share_for(needed: int, memory: int) -> float:
    """The smallest share of a GPU that fits its memory; 1 where even one trial does not.

    Args:
        needed: bytes of a trial's data, network and activations.
        memory: bytes of the GPU.
    """
    fitting = (n for n in COUNTS if n * (needed + PROGRAM) <= USABLE * memory)
    return 1 / next(fitting, 1)


def gpu_memory() -> int:
    """Bytes of the smallest visible GPU of this machine, found by another process, as this one
    would keep a part of the GPU's memory. Raises BadInput where the cluster or torch does not
    allow it."""
    advice = "Set `resources.gpu` to a number, such as 0.25 for four trials on a GPU."
    if os.environ.get("RAY_ADDRESS"):
        raise BadInput(
            "`resources.gpu` is auto, which probes the GPUs of this machine, but `RAY_ADDRESS`"
            f" names a cluster with GPUs. {advice}"
        )
    try:
        done = subprocess.run(
            [sys.executable, "-c", _MEMORY],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
        return int(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        raise BadInput(
            "`resources.gpu` is auto and Ray finds a GPU, but torch cannot use it in a new process."
            f" {advice}"
        ) from None
