"""A Ray cluster of a head without CPUs and three nodes of one each, whose nodes can be killed on
command: ``python -m tests.chaos.nodes``.

It prints its address. A line with the id of a process kills the node of that process, a line
``head`` the head node; it then prints ``lost``. The cluster ends with its input. It is a separate
process, because Ray ends every process that loses the head of its cluster.
"""

from __future__ import annotations

import os
import sys

import psutil
from ray.cluster_utils import Cluster

from mtsearch.execution.cluster import set_ray_defaults

SMALL = {"object_store_memory": 80 * 2**20}


def family(node) -> list[psutil.Process]:
    """The processes of a node and all that they started."""
    found = []
    for kept in node.all_processes.values():
        for info in kept:
            if psutil.pid_exists(info.process.pid):
                parent = psutil.Process(info.process.pid)
                found += [parent, *parent.children(recursive=True)]
    return found


def lose(node) -> None:
    """Kill a whole node at once, as when its machine loses power."""
    victims = family(node)
    for process in victims:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(victims, timeout=20)


def main() -> None:
    set_ray_defaults()
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **SMALL}
    )
    nodes = [cluster.head_node, *(cluster.add_node(num_cpus=1, **SMALL) for _ in range(3))]
    print(f"address {cluster.address}", flush=True)
    for line in sys.stdin:
        word = line.strip()
        lost = (
            nodes[0]
            if word == "head"
            else next(n for n in nodes if int(word) in {p.pid for p in family(n)})
        )
        lose(lost)
        print("lost", flush=True)
    for node in nodes:
        lose(node)
    os._exit(0)  # Ray's exit handlers would wait for the killed nodes


if __name__ == "__main__":
    main()
