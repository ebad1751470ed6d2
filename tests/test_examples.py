"""Every example runs as it stands, on the embedded sample."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import mtsearch

FOLDER = Path(mtsearch.__file__).parent.parent / "examples"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FOLDER.is_dir(), reason="only a clone has the examples"),
]


@pytest.mark.parametrize("script", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_a_script_runs(script, tmp_path):
    words = ["2"] if script.name == "compare_balancing.py" else []
    environment = {**os.environ, "PYTHONPATH": str(FOLDER.parent)}
    done = subprocess.run(
        [sys.executable, str(script), *words],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip()


@pytest.mark.parametrize("notebook", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.name)
def test_a_notebook_runs(notebook, tmp_path, monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv("PYTHONPATH", str(FOLDER.parent))
    found = nbformat.read(notebook, as_version=4)
    nbclient.NotebookClient(
        found, timeout=600, resources={"metadata": {"path": tmp_path}}
    ).execute()
