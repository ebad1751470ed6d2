"""Whether two checkouts of mtsearch train the same numbers, bit for bit.

Trains five small configurations on the embedded sample with `python -m mtsearch.train` in each
checkout and compares all reports and test metrics of OTHER, but for what is measured on a clock;
THIS may report more.

Usage: python benchmarks/compare_checkouts.py OTHER [THIS]

OTHER and THIS (default: the checkout of this script) are folders with an `mtsearch` package. Exits
with 1 where a number differs. Ends with one line of JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

CONFIGURATIONS: dict[str, tuple[str, ...]] = {
    "mdmtn, Chebyshev, GrOWL": ("space=pareto_cm", "profile=quick", "trial.architecture=mdmtn"),
    "GrOWL, coefficient mode": (
        "space=pareto_cm",
        "profile=quick",
        "trial.balancing={name: chebyshev_al, mu: 0.01}",
        "trial.sparsity={mode: coefficient, coefficient: 0.02}",
        "trial.optimizer.lr=0.002",
    ),
    "upgrad at the features": ("space=weightings_cm", "profile=quick", "trial.balancing=upgrad"),
    "population": ("space=mto_rsscn7", "profile=quick"),
    "coin flips over two data sets": ("space=alternating_cifar_fashion", "profile=quick"),
}


def reports(checkout: Path, words: tuple[str, ...]) -> list[dict[str, object]]:
    """All reports of one training, without times."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-m", "mtsearch.train", *words, f"results.root={folder}"],
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise SystemExit(f"{checkout}: {' '.join(words)} failed: {done.stderr[-2000:]}")
        (path,) = Path(folder).rglob("events.jsonl")
        events = [json.loads(line) for line in path.read_text().splitlines()]
    metrics = [event["metrics"] for event in events if event["event"] == "report"]
    return [{k: v for k, v in found.items() if k != "cost/seconds"} for found in metrics]


def _equal(old: dict[str, object], new: dict[str, object]) -> bool:
    """Whether all entries of a report of OTHER are in THIS with the same values; THIS may have
    more."""
    return old.items() <= new.items()


def main() -> int:
    other = Path(sys.argv[1]).resolve()
    this = Path(sys.argv[2] if len(sys.argv) > 2 else Path(__file__).parents[1]).resolve()
    equal = {}
    for name, words in CONFIGURATIONS.items():
        one, two = (reports(checkout, words) for checkout in (other, this))
        equal[name] = len(one) == len(two) > 1 and all(map(_equal, one, two))
        print(f"{name:<32}{len(one):>4} reports  {'equal' if equal[name] else 'DIFFERENT'}")
    print(json.dumps({"benchmark": "compare_checkouts", "equal": equal}))
    return 0 if all(equal.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
