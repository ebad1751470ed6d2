"""Every shipped space runs as a user would run it: two trials and the controls of its quick
profile, on the embedded sample."""

import os
import subprocess
import sys

import pytest

from mtsearch.config.reading import list_spaces
from mtsearch.pareto import trial_of
from mtsearch.runs.directory import RunDirectory

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", sorted(list_spaces()))
def test_space_runs_two_trials_and_tests_them(name, tmp_path):
    command = [
        sys.executable,
        "-m",
        "mtsearch.run",
        f"space={name}",
        "profile=quick",
        "search.trials=2",
        f"results.root={tmp_path}",
    ]
    done = subprocess.run(
        [*command, "data.limit=600"],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "COLUMNS": "120"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    path = done.stdout.strip().splitlines()[-1].removeprefix("run: ")
    rows = RunDirectory(path).rows()
    assert [row["state"] for row in rows] == ["done"] * len(rows)
    assert len({trial_of(row["trial"]) for row in rows if row["kind"] == "search"}) == 2
    assert all("embedded sample" in row["dataset"] for row in rows)
    assert any(key.startswith("test/") for row in rows for key in row)
