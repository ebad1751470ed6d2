"""How many trials run at once: computed before launch, and refused at once where it can never be."""

from __future__ import annotations

import os
from collections.abc import Mapping

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import SpaceConfig


def bundle(config: SpaceConfig) -> dict[str, float]:
    """What one trial asks of the cluster, by Ray's resource names. Raises BadInput where that is not built."""
    if config.workers > 1:
        raise BadInput(f"`workers` should be 1: groups of workers are not part of this version. Found {config.workers}. Set workers=1.")
    wanted = {"CPU": config.resources.cpu, "GPU": config.resources.gpu}
    return {name: amount for name, amount in wanted.items() if amount > 0}


def slots(config: SpaceConfig, cluster: Mapping[str, float]) -> int:
    """Trials at once: as many as fit the cluster, or `search.slots` of them. Raises BadInput naming the resource that is missing."""
    fits: dict[str, int] = {}
    for name, amount in bundle(config).items():
        there = float(cluster.get(name, 0))
        fits[name] = int(there / amount + 1e-9)
        if fits[name] == 0:
            raise BadInput(
                f"one trial asks for {amount:g} {name}, and the cluster has {there:g}. Lower `resources.{name.lower()}` or add a node."
            )
    scarce = min(fits, key=lambda name: fits[name])
    if config.search.slots is None:
        return fits[scarce]
    if config.search.slots > fits[scarce]:
        raise BadInput(
            f"`search.slots` asks for {config.search.slots} trials at once, but {scarce} ({cluster.get(scarce, 0):g} in the cluster, "
            f"{bundle(config)[scarce]:g} a trial) is enough for {fits[scarce]}. Lower `search.slots` or `resources.{scarce.lower()}`."
        )
    return config.search.slots


def local_resources() -> dict[str, float] | None:
    """What a local cluster will have, before it is started; None when `RAY_ADDRESS` names a running one."""
    if os.environ.get("RAY_ADDRESS"):
        return None
    from ray._private.accelerators import NvidiaGPUAcceleratorManager
    from ray._private.utils import get_num_cpus

    gpus = NvidiaGPUAcceleratorManager.get_current_node_num_accelerators()
    return {"CPU": float(get_num_cpus()), "GPU": float(gpus)}
