"""A single training whose process is ended, with a real trial."""

import json
import signal
import subprocess
import sys
import time

import pytest

from mtsearch.runs.directory import RunDirectory
from tests.chaos.checks import OWN, check_events
from tests.helpers.fixtures import ROOT

WORDS = [
    "space=pareto_cm",
    "data.dataset=patches10_digits",
    "data.limit=300",
    "trial.epochs={search: 2, retrain: 2}",
]
SPARSE = [
    "trial.sparsity={mode: target, target: 0.5}",
    "trial.balancing=chebyshev_al",
    "trial.architecture=mdmtn",
]


def training(*words):
    return subprocess.Popen(
        [sys.executable, "-m", "mtsearch.train", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process):
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def numbers(run):
    shown = [
        [{k: v for k, v in row.items() if k not in OWN} for row in rows]
        for rows in (run.history(), run.rows())
    ]
    return json.dumps(shown)  # as text, in which equal NaNs are equal


@pytest.mark.slow
def test_an_interrupted_training_continues_bit_identically(tmp_path):
    begun = [*WORDS, *SPARSE, f"results.root={tmp_path}"]
    code, _, err = finished(training(*begun, "results.run=whole"))
    assert code == 0, err
    whole = RunDirectory(tmp_path / "pareto_cm" / "whole")
    for sent, expected, report in ((signal.SIGKILL, -9, 1), (signal.SIGTERM, 130, 3)):
        name = f"{sent.name}-{report}"
        process, events = (
            training(*begun, f"results.run={name}"),
            tmp_path / "pareto_cm" / name / "events.jsonl",
        )
        until = time.monotonic() + 200
        while not events.exists() or events.read_text().count('"event": "report"') < report:
            assert time.monotonic() < until and process.poll() is None
            time.sleep(0.02)
        process.send_signal(sent)
        code, out, err = finished(process)
        run = RunDirectory(events.parent)
        assert code == expected, (out, err)
        assert expected < 0 or f"Continue with: python -m mtsearch.train resume={run.path}\n" in out
        code, out, err = finished(training(f"resume={run.path}"))
        assert code == 0, (out, err)
        check_events(run)
        assert numbers(run) == numbers(whole) and run.rows()[0]["attempts"] == 2
