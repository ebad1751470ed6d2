"""What starting costs: `import mtsearch`, its packages, and the commands that need no torch.

Usage: python benchmarks/imports.py [RUNS]

Each row is the median of so many processes, less that of a Python that imports nothing. Ends with
one line of JSON.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

BAR = 0.15  # seconds for `import mtsearch`
CODE = {
    "nothing": "pass",
    "import mtsearch": "import mtsearch",
    "mtsearch.load_run": "import mtsearch; mtsearch.load_run",
    "mtsearch.search": "import mtsearch; mtsearch.search",
    "run --help": "from mtsearch.commands.run import main; main(['--help'])",
    "run --list": "from mtsearch.commands.run import main; main(['--list'])",
    "mtsearch.Trial": "import mtsearch; mtsearch.Trial",
}


def seconds(code: str, runs: int) -> float:
    found = []
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
        found.append(time.perf_counter() - start)
    return statistics.median(found)


def main() -> int:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 11
    base = seconds(CODE["nothing"], runs)
    costs = {name: seconds(code, runs) - base for name, code in list(CODE.items())[1:]}
    for name, cost in costs.items():
        print(f"{name:<20}{cost:8.3f} s{f'   bar {BAR} s' if name == 'import mtsearch' else ''}")
    met = costs["import mtsearch"] < BAR
    print(json.dumps({"benchmark": "imports", "seconds": costs, "bar": BAR, "met": met}))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
