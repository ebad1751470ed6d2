"""Which sampler and which scheduler find the best front for the least training: `python
benchmarks/search.py DATA [sets=all|tune|confirm|ID,ID] [seeds=N] [methods=A,B] [out=FILE]
[peers=FOLDER] [measure=bounded]`.

Searches are replayed on LCBench learning curves (Zimmer et al. 2021), read from the surrogate of
YAHPO-MO (Pfisterer et al. 2022) in the folder DATA: `model.onnx` and `encoding.json`, which
`yahpo_data` on GitHub holds; needs `pip install onnxruntime`. Three objectives are minimised:
validation error, cross-entropy, both the best so far, and the logarithm of the median seconds of
an epoch. One slot; a search may train as many epochs as 40 full trainings have. Compared is the
hypervolume of finished trials, scaled to the best value and the 90 % quantile of 3,000 random
finished configurations, as a share of the hypervolume of these; with `measure=bounded`, values
better than the best of these count as that one.

Each (set, seed, method) that ends is a line of FILE (default `search.jsonl` in the cache folder);
those that it holds already are not computed again, so the program may be interrupted. The tables
show means, and paired differences to the first method with their 95 % intervals over all pairs of
set and seed. The last line is JSON.

The methods `syne-moasha`, `smac-parego` and `neps-primo` run other libraries, each in a virtual
environment FOLDER/NAME with the requirements `replay/peers/NAME.txt` and the name of that file.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from replay.lcbench import BENCHMARK, CONFIRM, TUNE, LCBench
from replay.loop import FULL, METHODS, replay
from scipy.stats import t as student

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mtsearch-replay"
SETS = {"all": BENCHMARK, "tune": TUNE, "confirm": CONFIRM}
Rows = dict[tuple[str, int, str], dict[str, Any]]


def read(path: Path) -> Rows:
    """The rows of a file by (set, seed, method); a torn last line is dropped."""
    rows: Rows = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        rows[row["set"], row["seed"], row["method"]] = row
    return rows


def interval(differences: np.ndarray) -> float:
    """Half the width of the 95 % interval of a mean, by Student's t."""
    n = len(differences)
    if n < 2:
        return float("nan")
    return float(student.ppf(0.975, n - 1) * differences.std(ddof=1) / np.sqrt(n))


def summary(
    rows: Rows, methods: list[str], sets: list[str], seeds: int, measure: str
) -> dict[str, Any]:
    """Print the tables and return their numbers, over the pairs that every method has.

    Args:
        measure: `hypervolume`, or `bounded`, see `LCBench.hypervolume`.
    """
    pairs = [(s, i) for s in sets for i in range(seeds) if all((s, i, m) in rows for m in methods)]
    values = {
        m: np.array([[rows[s, i, m][measure][str(n)] for n in FULL] for s, i in pairs])
        for m in methods
    }
    result: dict[str, Any] = {"pairs": len(pairs), "sets": len(sets), "mean": {}, "paired": {}}
    if not pairs:
        return result
    print(f"\n{len(pairs)} pairs of set and seed; hypervolume after full trainings")
    print("| method | " + " | ".join(map(str, FULL)) + " | begun | finished | ms an ask |")
    print("|---|" + "---|" * (len(FULL) + 3))
    for m in methods:
        of = [rows[s, i, m] for s, i in pairs]
        cells = [f"{v:.3f}" for v in values[m].mean(axis=0)]
        cells += [f"{np.mean([row[k] for row in of]):.0f}" for k in ("begun", "finished", "ask_ms")]
        print(f"| {m} | " + " | ".join(cells) + " |")
        result["mean"][m] = values[m].mean(axis=0).round(4).tolist()
    if len(methods) > 1:
        print(f"\n{methods[0]} minus each method, paired, with 95 % intervals")
        print("| method | " + " | ".join(map(str, FULL)) + " |")
        print("|---|" + "---|" * len(FULL))
    for m in methods[1:]:
        off = values[methods[0]] - values[m]
        half = [interval(off[:, k]) for k in range(len(FULL))]
        cells = [f"{a:+.3f} ± {b:.3f}" for a, b in zip(off.mean(axis=0), half, strict=True)]
        print(f"| {m} | " + " | ".join(cells) + " |")
        result["paired"][m] = [
            [round(float(a), 4), round(b, 4)] for a, b in zip(off.mean(axis=0), half, strict=True)
        ]
    return result


def main(arguments: list[str]) -> None:
    """Compute the missing rows, then print the tables."""
    given = dict(a.split("=", 1) for a in arguments if "=" in a)
    folders = [a for a in arguments if "=" not in a]
    unknown = set(given) - {"sets", "seeds", "methods", "out", "peers", "measure"}
    if not arguments:  # as `make bench` calls it
        print(json.dumps({"benchmark": "search", "skipped": "no folder with the surrogate given"}))
        return
    if len(folders) != 1 or unknown:
        sys.exit(__doc__)
    root, seeds = Path(folders[0]), int(given.get("seeds", 10))
    chosen = given.get("sets", "all")
    sets = SETS.get(chosen) or chosen.split(",")
    peers = Path(given["peers"]) if "peers" in given else None
    methods = given["methods"].split(",") if "methods" in given else list(METHODS)
    measure = given.get("measure", "hypervolume")
    out = Path(given.get("out", CACHE / "search.jsonl"))
    out.parent.mkdir(parents=True, exist_ok=True)
    rows = read(out)
    for seed in range(seeds):
        for name in sets:
            missing = [m for m in methods if (name, seed, m) not in rows]
            table = LCBench(root, name, CACHE) if missing else None
            for method in missing:
                found = replay(table, method, seed, environments=peers)
                row = {"set": name, "seed": seed, "method": method, **found}
                with out.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                rows[name, seed, method] = row
    print(json.dumps({"benchmark": "search", **summary(rows, methods, sets, seeds, measure)}))


if __name__ == "__main__":
    main(sys.argv[1:])
