"""Ranks that share each batch train what one process trains on the joint batch: weights and
reports, in float64, to 1e-6."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.training.ranks import RANDOM, cases

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """`trained(size, rank, name)` -> (reports, weights) of a case."""
    folder = tmp_path_factory.mktemp("ranks")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "OMP_NUM_THREADS": "1",
    }
    script = str(ROOT / "tests" / "training" / "ranks.py")
    running = [
        subprocess.Popen(
            [sys.executable, script, str(rank), str(size), str(folder)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for size in (1, 2)
        for rank in range(size)
    ]
    for process in running:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    reports = {
        (s, r): json.loads((folder / f"reports-{s}-{r}.json").read_text())
        for s in (1, 2)
        for r in range(s)
    }
    weights = {
        (s, r): load_file(folder / f"weights-{s}-{r}.safetensors") for s in (1, 2) for r in range(s)
    }

    def of(size, rank, name):
        own = {
            key.removeprefix(f"{name}/"): value
            for key, value in weights[size, rank].items()
            if key.startswith(f"{name}/")
        }
        return [
            {k: v for k, v in report.items() if k != "cost/seconds"}
            for report in reports[size, rank][name]
        ], own

    return of


@pytest.mark.parametrize("name", cases())
def test_all_ranks_end_alike(trained, name):
    one, other = trained(2, 0, name), trained(2, 1, name)
    assert one[0] == other[0]
    assert all(bool((value == other[1][key]).all()) for key, value in one[1].items())


@pytest.mark.parametrize("name", [name for name in cases() if name.split("-")[0] not in RANDOM])
def test_two_ranks_train_what_one_process_trains(trained, name):
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
