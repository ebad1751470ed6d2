"""Two ranks that share each batch give the weights and reports of one process, in float64, to
1e-6."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.training.ranks import FAST, RANDOM, cases, tier_of

ROOT = Path(__file__).parents[2]
NAMES = [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in cases()]
REPEATABLE = [case for case in NAMES if case.values[0].split("-")[0] not in RANDOM]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """`trained(size, rank, name)` returns the reports and weights of a case; the first case of a
    tier trains all of that tier."""
    found = {}

    def of(size, rank, name):
        tier = tier_of(name)
        if tier not in found:
            found[tier] = train(tmp_path_factory.mktemp(tier), tier)
        reports, weights = found[tier][size, rank]
        own = {
            key.removeprefix(f"{name}/"): value
            for key, value in weights.items()
            if key.startswith(f"{name}/")
        }
        assert own and reports[name]
        return [
            {k: v for k, v in report.items() if k != "cost/seconds"} for report in reports[name]
        ], own

    return of


def train(folder, tier):
    """Reports and weights of all cases of a tier by (size, rank)."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "OMP_NUM_THREADS": "1",
    }
    script = str(ROOT / "tests" / "training" / "ranks.py")
    ranks = [(1, 0), (2, 0), (2, 1)]
    running = [
        subprocess.Popen(
            [sys.executable, script, str(rank), str(size), str(folder), tier],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for size, rank in ranks
    ]
    for process in running:
        _, errors = process.communicate(timeout=300 if tier == "fast" else 1800)
        assert process.returncode == 0, errors
    return {
        (s, r): (
            json.loads((folder / f"reports-{s}-{r}.json").read_text()),
            load_file(folder / f"weights-{s}-{r}.safetensors"),
        )
        for s, r in ranks
    }


@pytest.mark.parametrize("name", NAMES)
def test_all_ranks_end_with_equal_weights(trained, name):
    one, other = trained(2, 0, name), trained(2, 1, name)
    assert one[0] == other[0]
    assert one[1].keys() == other[1].keys()
    assert all(bool((value == other[1][key]).all()) for key, value in one[1].items())


@pytest.mark.parametrize("name", REPEATABLE)
def test_two_ranks_equal_one_process(trained, name):
    (alone, weights), (together, shared) = trained(1, 0, name), trained(2, 0, name)
    for mine, theirs in zip(alone, together, strict=True):
        assert mine.keys() == theirs.keys()
        for key, value in mine.items():
            assert theirs[key] == (
                pytest.approx(value, rel=1e-6, abs=1e-6) if isinstance(value, float) else value
            ), key
    for key, value in weights.items():
        assert (value - shared[key]).abs().max().item() <= 1e-6 * max(
            1.0, value.abs().max().item()
        ), key
