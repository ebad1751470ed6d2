"""How fast GrOWL's proximal operator is: `python benchmarks/prox.py [blocks]`.

Compared: the package's vectorised pooling; the same operator with SciPy's compiled isotonic
regression; the same with pool-adjacent- violators as a loop over rows; and, on fewer rows, the run
averaging of the published code with its errors mended, which needs seconds for hundreds. Equal
results come first: nothing is timed where ours, the loop or SciPy differ by more than 1e-6 (run
averaging converges: 1e-3). The blocks of all are interleaved, so that a busy machine slows all
alike; the figures are medians over the blocks, ratios medians of the ratios within a block. Times
are processor time of the one thread, so that what else runs on the machine is not counted.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from scipy.optimize import isotonic_regression

from mtsearch.sparsity import growl_prox, growl_weights, prox_strength

ROWS, NAIVE_ROWS, TAU, CALLS = 7200, 50, 0.1, 3
PATTERNS = ("spike", "linear", "dejiao")
INPUTS = {
    "uniform": lambda g, n: torch.rand(n, generator=g, dtype=torch.float64),
    "concentrated": (
        lambda g, n: 1 + 0.1 * torch.randn(n, generator=g, dtype=torch.float64).clamp(-5, 5)
    ),
}


def loop_fit(y):
    """Pool adjacent violators with a stack, a row at a time."""
    sums, sizes = [], []
    for value in y.tolist():
        total, size = value, 1
        while sums and sums[-1] * size < total * sizes[-1]:
            total, size = total + sums.pop(), size + sizes.pop()
        sums.append(total)
        sizes.append(size)
    return np.repeat(np.array(sums) / np.array(sizes), sizes)


def sweep_fit(y):
    """The published code's way, repaired where it was wrong: average every rising run, again and
    again, a row at a time."""
    y = y.tolist()
    while True:
        start, changed = 0, False
        while start < len(y):
            end = start
            while end + 1 < len(y) and y[end + 1] > y[end] + 1e-9:
                end += 1
            if end > start:
                y[start : end + 1] = [sum(y[start : end + 1]) / (end + 1 - start)] * (
                    end + 1 - start
                )
                changed = True
            start = end + 1
        if not changed:
            return np.array(y)


def compiled_fit(y):
    return isotonic_regression(y, increasing=False).x


def with_fit(fit):
    """The operator around another isotonic regression."""

    def prox(norms, weights, tau):
        r = norms.double().numpy()
        order = np.argsort(-r, kind="stable")
        shrunk = np.empty_like(r)
        shrunk[order] = np.maximum(fit(r[order] - tau * weights.numpy()), 0)
        return torch.from_numpy(shrunk).to(norms)

    return prox


ORACLE = with_fit(compiled_fit)
METHODS = {"ours": growl_prox, "compiled": ORACLE, "loop": with_fit(loop_fit)}
SWEEPS = with_fit(sweep_fit)


def problem(pattern, kind, rows):
    return INPUTS[kind](torch.Generator().manual_seed(0), rows), growl_weights(
        rows, pattern, 0.8, 0.2
    )


def difference(method, norms, weights):
    """The largest difference from the oracle over a range of strengths."""
    strengths = [1e-3, TAU, 0.5]
    return max(
        (method(norms, weights, tau) - ORACLE(norms, weights, tau)).abs().max().item()
        for tau in strengths
    )


def timed(method, norms, weights, calls):
    start = time.process_time()
    for _ in range(calls):
        method(norms, weights, TAU)
    return (time.process_time() - start) / calls


def main(blocks: int) -> None:
    torch.set_num_threads(1)
    cases = [(pattern, kind) for pattern in PATTERNS for kind in INPUTS]
    large = {case: problem(*case, ROWS) for case in cases}
    few = {case: problem(*case, NAIVE_ROWS) for case in cases}
    worst = max(difference(METHODS[name], *large[case]) for name in METHODS for case in cases)
    worst = max(worst, *(difference(growl_prox, *few[case]) for case in cases))
    sweeps = max(difference(SWEEPS, *few[case]) for case in cases)
    if worst > 1e-6 or sweeps > 1e-3:
        sys.exit(
            f"The results differ from the oracle by {worst:.1e} (sweeps {sweeps:.1e}); nothing was"
            " timed."
        )
    print(
        f"equal to the oracle within {worst:.1e} (run averaging on {NAIVE_ROWS} rows: within"
        f" {sweeps:.1e}); {blocks} interleaved blocks\n"
    )

    times = {
        case: {name: [] for name in (*METHODS, "strength", "ours few", "sweeps few")}
        for case in cases
    }
    for _ in range(blocks):
        for case in cases:
            for name, method in METHODS.items():
                times[case][name].append(timed(method, *large[case], CALLS))
            times[case]["ours few"].append(timed(growl_prox, *few[case], CALLS))
            times[case]["sweeps few"].append(timed(SWEEPS, *few[case], 1))
            times[case]["strength"].append(
                timed(lambda n, w, _: prox_strength(n, w, ROWS // 2), *large[case], 1)
            )

    heads = (
        f"{'pattern':8} {'norms':13} {'ours ms':>8} {'loop ms':>8} {'compiled ms':>12}"
        f" {'loop/ours':>10} {'strength ms':>12}"
    )
    print(f"{heads} | {NAIVE_ROWS} rows: {'ours ms':>8} {'sweeps ms':>10} {'ratio':>7}")
    figures = []
    for (pattern, kind), found in times.items():
        middle = {name: 1e3 * statistics.median(values) for name, values in found.items()}
        ratio = statistics.median(b / a for a, b in zip(found["ours"], found["loop"], strict=True))
        naive = statistics.median(
            b / a for a, b in zip(found["ours few"], found["sweeps few"], strict=True)
        )
        left = (
            f"{pattern:8} {kind:13} {middle['ours']:8.2f} {middle['loop']:8.2f}"
            f" {middle['compiled']:12.2f} {ratio:10.1f}"
        )
        print(
            f"{left} {middle['strength']:12.2f} | {'':9} {middle['ours few']:8.2f}"
            f" {middle['sweeps few']:10.2f} {naive:7.1f}"
        )
        figures.append(
            {
                "pattern": pattern,
                "norms": kind,
                "ours_ms": round(middle["ours"], 3),
                "loop_ms": round(middle["loop"], 3),
                "compiled_ms": round(middle["compiled"], 3),
                "loop_over_ours": round(ratio, 2),
                "strength_ms": round(middle["strength"], 3),
                "few_ours_ms": round(middle["ours few"], 3),
                "few_sweeps_over_ours": round(naive, 1),
            }
        )
    slowest = max(figure["ours_ms"] for figure in figures)
    print(f"\nslowest case of ours: {slowest:.2f} ms for {ROWS} rows (bound: 5 ms)")
    machine = {
        "cpu": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "threads": 1,
        "clock": "processor",
    }
    print(
        json.dumps(
            {
                "benchmark": "prox",
                "rows": ROWS,
                "naive_rows": NAIVE_ROWS,
                "blocks": blocks,
                "max_difference": worst,
                "slowest_ms": slowest,
                "cases": figures,
                "machine": machine,
            }
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
