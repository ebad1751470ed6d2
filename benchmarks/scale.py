"""What a search of many trials costs its driver: time and memory a trial, on one machine, on eight
raylets, on 200 simulated nodes.

- machine: 10,000 trials that compute nothing (`trials/trivial.py`) through the real searcher,
  study, event log, tables and Ray Tune.
- raylets: 400 of them over eight real Ray nodes on this machine; their rows must be those of one
  node.
- nodes: 200 nodes with 8 slots each as a discrete-event simulation without Ray, which drives the
  real searcher, manager, study and tables. Trials take three epochs of a minute or so, nodes die;
  the driver is one server whose real seconds count as simulated ones.
- samplers: what asking Optuna's samplers for the next trial takes after n trials.

Driver time is the time in which the driver is not waiting for Ray, less what is spent in Optuna's
own ask, suggest and tell; memory is the slope of its largest resident size over the trials. Usage:
python benchmarks/scale.py [PART ...] [--trials N]
"""

import argparse
import json
import os
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table
from scale_parts.clusters import machine, raylets
from scale_parts.samplers import samplers
from scale_parts.simulation import nodes

MILLISECONDS, KILOBYTES = 20.0, 30.0  # bounds a trial
console = Console()
PARTS = {
    "machine": (machine, 10000),
    "raylets": (raylets, 400),
    "nodes": (nodes, 10000),
    "samplers": (samplers, 10000),
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all where none is named"
    )
    parser.add_argument("--trials", type=int, help="another number of trials for each part")
    given = parser.parse_args()
    here = Path(__file__).resolve().parent  # where trial actors find `trials`
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(here), str(here.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    figures = {}
    for name in given.parts or PARTS:
        part, trials = PARTS[name]
        figures[name] = part(given.trials or trials)
        table = Table(name, "")
        for key, value in figures[name].items():
            table.add_row(
                key.replace("_", " "), f"{value:,.2f}" if isinstance(value, float) else f"{value:,}"
            )
        console.print(table)
    kept = all(
        part.get("milliseconds_late", 0.0) <= MILLISECONDS
        and part.get("kilobytes", 0.0) <= KILOBYTES
        for name, part in figures.items()
        if name in ("machine", "nodes")
    )
    console.print(
        f"bounds: {MILLISECONDS:g} ms and {KILOBYTES:g} KB of the driver a trial, at the end as on"
        f" average: {'kept' if kept else 'missed'}"
    )
    rounded = {
        name: {key: round(value, 3) for key, value in part.items()}
        for name, part in figures.items()
    }
    print(json.dumps({"benchmark": "scale", **rounded, "kept": kept, "cores": os.cpu_count()}))
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
