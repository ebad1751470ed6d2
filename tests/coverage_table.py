"""Coverage of branches by package: `python tests/coverage_table.py coverage.json`.

Reads the JSON report of coverage.py, prints a row per package, and returns 1 where a package of
`BARS` covers less than its bar in percent of its branches.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

BARS = {"runs": 90.0, "strategy": 90.0, "pareto": 90.0, "sparsity": 90.0, "balancing": 90.0}


def percent(covered: int, of: int) -> float:
    """Covered share in percent; 100 of nothing."""
    return 100 * covered / of if of else 100.0


def main(path: str) -> int:
    """Print the table; 1 where a bar is missed."""
    sums: Counter[tuple[str, str]] = Counter()
    for file, found in json.loads(Path(path).read_text())["files"].items():
        inside = file.replace("\\", "/").partition("mtsearch/")[2].split("/")
        package = inside[0] if len(inside) > 1 else "(top)"
        for key in ("num_statements", "covered_lines", "num_branches", "covered_branches"):
            sums[package, key] += found["summary"][key]
    missed = []
    print(f"{'package':<13}{'lines':>8}{'covered':>9}{'branches':>10}{'covered':>9}{'bar':>6}")
    for package in sorted({package for package, _ in sums}):
        lines = percent(sums[package, "covered_lines"], sums[package, "num_statements"])
        branches = percent(sums[package, "covered_branches"], sums[package, "num_branches"])
        bar = BARS.get(package)
        print(
            f"{package:<13}{sums[package, 'num_statements']:>8}{lines:>8.1f}%"
            f"{sums[package, 'num_branches']:>10}{branches:>8.1f}%"
            f"{'' if bar is None else f'{bar:.0f}%':>6}"
        )
        if bar is not None and branches < bar:
            missed.append(package)
    print(f"below the bar: {', '.join(missed) or 'none'}")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
