"""How many trials run at once: computed before launch; a request that no node can serve is
refused."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import SpaceConfig


def gpus(config: SpaceConfig) -> float:
    """The GPUs of one worker; 0 for `resources.gpu: auto`, until `with_gpu_share` replaces it."""
    return 0.0 if config.resources.gpu == "auto" else config.resources.gpu


def worker(config: SpaceConfig) -> dict[str, float]:
    """The resources that one worker of a trial needs on its node, by Ray's resource names."""
    wanted = {"CPU": config.resources.cpu, "GPU": gpus(config)}
    return {name: amount for name, amount in wanted.items() if amount > 0}


def bundle(config: SpaceConfig) -> dict[str, float]:
    """The resources that all workers of one trial need together."""
    return {name: config.workers * amount for name, amount in worker(config).items()}


def slots(config: SpaceConfig, nodes: Sequence[Mapping[str, float]]) -> int:
    """The number of trials that run at once: `search.slots`, else as many as fit the nodes.

    Every worker runs on one node. Raises BadInput that names the missing resource.

    Args:
        config: the search.
        nodes: the resources of each node of the cluster, by Ray's resource names.
    """
    wanted, workers = worker(config), config.workers
    one = "one trial" if workers == 1 else "one worker of a trial"
    for name, amount in wanted.items():
        largest = max((float(node.get(name, 0)) for node in nodes), default=0.0)
        if not _fits(largest, amount):
            where = "the cluster has" if len(nodes) < 2 else "the largest node has"
            raise BadInput(
                f"{one} asks for {amount:g} {name}, and {where} {largest:g}. Lower"
                f" `resources.{name.lower()}` or add a node."
            )
    fits = {
        name: sum(_fits(float(node.get(name, 0)), amount) for node in nodes)
        for name, amount in wanted.items()
    }
    together = sum(
        min(_fits(float(node.get(name, 0)), amount) for name, amount in wanted.items())
        for node in nodes
    )
    asked = " and ".join(f"{amount:g} {name}" for name, amount in wanted.items())
    if together == 0:
        raise BadInput(
            f"{one} asks for {asked}, and no node has them together. Lower `resources.cpu` or"
            " `resources.gpu`, or add a node."
        )
    possible = together // workers
    scarce = min(fits, key=lambda name: fits[name])
    there = sum(float(node.get(scarce, 0)) for node in nodes)
    if possible == 0:
        raise BadInput(
            f"one trial asks for {workers} workers with {asked} each, but {scarce} ({there:g} in"
            f" the cluster) is enough for {together}. Lower `workers` or"
            f" `resources.{scarce.lower()}`, or add a node."
        )
    if config.search.slots is None:
        return possible
    if config.search.slots > possible:
        a_trial = (
            f"{wanted[scarce]:g} a trial"
            if workers == 1
            else f"{workers} x {wanted[scarce]:g} per trial"
        )
        where = ""
        if len(nodes) > 1:
            where = ", each worker on one node" if workers > 1 else ", each on one node"
        raise BadInput(
            f"`search.slots` asks for {config.search.slots} trials at once, but {scarce} ({there:g}"
            f" in the cluster, {a_trial}{where}) is enough for {possible}. Lower `search.slots` or"
            f" `resources.{scarce.lower()}`."
        )
    return config.search.slots


def _fits(there: float, amount: float) -> int:
    return int(there / amount + 1e-9)


def local_nodes() -> list[dict[str, float]] | None:
    """The resources of the one node of a local cluster, before it is started; None where
    `RAY_ADDRESS` names a running cluster."""
    if os.environ.get("RAY_ADDRESS"):
        return None
    from mtsearch.execution.compat import cpu_count, gpu_count  # imports Ray

    return [{"CPU": float(cpu_count()), "GPU": float(gpu_count())}]
