"""Searches on real Ray nodes: one machine, and eight raylets on it."""

import os
import tempfile
import time
from pathlib import Path

import ray
from rich.console import Console

from mtsearch.execution import engine
from mtsearch.execution.cluster import cluster, set_ray_defaults
from scale_parts.common import CLASS, checked, costs, only, space, watched


def machine(trials):
    with (
        tempfile.TemporaryDirectory() as folder,
        cluster(),
        open(os.devnull, "w") as silence,
        watched() as seen,
    ):
        begin = time.perf_counter()
        code = engine.run(
            space(folder, trials), name="scale", trial_class=CLASS, console=Console(file=silence)
        )
        seconds = time.perf_counter() - begin
        assert code == 0
        checked(only(folder), trials)
        size = sum(p.stat().st_size for p in only(folder).path.rglob("*") if p.is_file())
        spent = only(folder).read_state(slim=True).seconds
    return {
        "trials": trials,
        **costs(seen),
        "seconds": seconds,
        "tables_seconds": seconds - spent,
        "disk_kilobytes": size / trials / 1e3,
    }


def raylets(trials):
    from ray.cluster_utils import Cluster

    def search(folder):
        with open(os.devnull, "w") as silence:
            assert (
                engine.run(
                    space(folder, trials),
                    name="scale",
                    trial_class=CLASS,
                    console=Console(file=silence),
                )
                == 0
            )
        return checked(only(folder), trials)

    set_ray_defaults()
    with tempfile.TemporaryDirectory() as folder:
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        for _ in range(7):
            made.add_node(num_cpus=1)
        made.wait_for_nodes()
        ray.init(address=made.address, log_to_driver=False)
        with watched() as seen:
            begin = time.perf_counter()
            rows = search(Path(folder) / "eight")
            seconds = time.perf_counter() - begin
        ray.shutdown()
        made.shutdown()
        with cluster():
            assert rows == search(Path(folder) / "one"), "rows depend on the nodes"
    return {"trials": trials, **costs(seen), "seconds": seconds}
