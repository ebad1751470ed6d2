"""A single training, its report, its export and its predictions need neither Ray nor Optuna."""

import os
import subprocess
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[2]
BLOCKED = """
import sys


class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("ray", "optuna"):
            raise ImportError(f"{name} is blocked")


sys.meta_path.insert(0, Blocked())
from mtsearch.commands import export, predict, report, train

words = [f"space={sys.argv[1]}", "results.run=one", "data.limit=100"]
words += ["trial.epochs={search: 1, retrain: 1}"]
assert train.main(words) == 0
assert report.main(["run=results/mine/one"]) == 0
assert export.main(["run=results/mine/one", "out=model"]) == 0
assert predict.main(["run=results/mine/one", "images=a.png", "to=table.csv"]) == 0
assert not {"ray", "optuna"} & set(sys.modules)
"""


def test_commands_run_without_ray_and_optuna(tmp_path):
    (tmp_path / "my.yaml").write_text(
        "name: mine\ndata: {dataset: patches10_digits}\n"
        "objectives: [val/image/error, val/digit/error]\n"
    )
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, str(tmp_path / "my.yaml")],
        cwd=tmp_path,
        env=_environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert {"model.safetensors", "model.pt2", "card.md"} <= names


def _environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / "cache")}


def test_package_loads_neither_torch_nor_ray():
    code = (
        "import sys, mtsearch, mtsearch.runs, mtsearch.runs.opening;"
        " print(sorted({'torch', 'ray', 'optuna'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
