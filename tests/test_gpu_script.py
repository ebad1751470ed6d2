"""The CPU form of `benchmarks/gpu.py`, with torch and the packages of its bundle alone."""

import importlib.metadata as metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "benchmarks" / "gpu.py"
TORCH = r"torch|triton|nvidia.*|cuda.*|setuptools|sympy|mpmath|networkx|jinja2|markupsafe|fsspec"
BUNDLED = (
    r"mtsearch|numpy|pillow|lmdb|pydantic|pydantic.core|annotated.types|typing.extensions"
    r"|typing.inspection|pyyaml|filelock|platformdirs|safetensors|torchjd"
)
BLOCKER = """
import sys


class Without:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            return None
        return self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)


sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SCRIPT.is_file(), reason="only a clone has the benchmarks"),
]


def test_gpu_script_needs_only_torch_and_its_bundle(tmp_path):
    allowed = re.compile(f"({TORCH}|{BUNDLED})$", re.IGNORECASE)
    blocked = {
        module
        for module, owners in metadata.packages_distributions().items()
        if not any(allowed.match(owner) for owner in owners)
    }
    assert {"ray", "optuna", "scipy", "torchvision", "pyarrow"} <= blocked
    (tmp_path / "sitecustomize.py").write_text(BLOCKER.format(names=repr(sorted(blocked))))
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--device", "cpu", "--minutes", "5"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["passed"] and set(found["parts"]) == {"equal", "fast", "data", "share"}
    assert not any("error" in row for part in found["parts"].values() for row in part["rows"])


def test_gpu_script_names_a_missing_gpu():
    done = subprocess.run(
        [sys.executable, str(SCRIPT)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "gpu.py: torch finds no GPU. Use `--device cpu` for the smoke test.\n"
