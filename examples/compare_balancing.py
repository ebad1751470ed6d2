"""Five balancing methods on the same data, three seeds each: mean test errors with 95 % intervals.

Usage: python examples/compare_balancing.py [SEEDS]
"""

import statistics
import sys

import mtsearch

METHODS = ["linear", "smooth_chebyshev", "uncertainty", "mgda", "upgrad"]
T_95 = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78}  # two-sided, by the number of seeds

seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
print(f"{'method':<18}{'image error (%)':>20}{'digit error (%)':>20}")
for method in METHODS:
    errors = {"image": [], "digit": []}
    for seed in range(seeds):
        run = mtsearch.train_one(
            "pareto_cm",
            profile="quick",
            overrides={
                "trial.balancing": method,
                "trial.architecture": "hps",
                "trial.sparsity": "none",
                "trial.preference": {"image": 0.5, "digit": 0.5},
                "trial.seed": seed,
            },
            test=True,
            progress=False,
        )
        for task, values in errors.items():
            values.append(run.trials[0][f"test/{task}/error"])
    cells = []
    for values in errors.values():
        half = T_95[seeds] * statistics.stdev(values) / seeds**0.5 if seeds > 1 else float("nan")
        cells.append(f"{statistics.mean(values):.1f} ± {half:.1f}")
    print(f"{method:<18}{cells[0]:>20}{cells[1]:>20}")
