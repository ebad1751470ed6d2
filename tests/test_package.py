"""The package: what setup.cfg lists is what there is, and a wheel carries spaces, cards and the
sample."""

import configparser
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import mtsearch

ROOT = Path(mtsearch.__file__).parent.parent
pytestmark = pytest.mark.skipif(
    not (ROOT / "setup.cfg").is_file(),
    reason="these tests read the clone that the package was built from",
)


def test_setup_cfg_lists_every_package():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = set(config["options"]["packages"].split())
    here = {".".join(p.parent.relative_to(ROOT).parts) for p in (ROOT / "mtsearch").rglob("*.py")}
    assert listed == here | {"mtsearch.search_spaces", "mtsearch.datasets"}


def test_a_wheel_works_from_any_folder(tmp_path):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHONPATH", "MTSEARCH"))}
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--quiet",
        "--disable-pip-version-check",
        "-w",
        str(tmp_path),
        str(ROOT),
    ]
    subprocess.run(build, check=True, env=clean, cwd=tmp_path, capture_output=True)
    (wheel,) = tmp_path.glob("mtsearch-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "mtsearch/search_spaces/pareto_cm.yaml" in names
    assert "mtsearch/datasets/cifar10_mnist.yaml" in names
    assert "mtsearch/datasets/gid_overlap_groups.json" in names
    assert any(name.startswith("mtsearch/datasets/sample/digits/") for name in names)
    assert not any(name.startswith(("tests/", "datasets/", "results/")) for name in names)
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = "import mtsearch, sys; assert 'site' in mtsearch.__file__, mtsearch.__file__\n"
    code += (
        "from mtsearch.config.reading import load_space; from mtsearch.data import open_dataset\n"
    )
    code += "from mtsearch.config.schema import DataConfig\n"
    code += (
        "print(load_space('pareto_cm').config.name,"
        " len(open_dataset(DataConfig(dataset='multidigits')).splits['train']) > 1000)"
    )
    run = [sys.executable, "-c", code]
    out = subprocess.run(
        run,
        check=True,
        env={**clean, "PYTHONPATH": str(tmp_path / "site")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert out.stdout.split() == ["pareto_cm", "True"]
