"""The layers: imports run downwards only, Ray and Optuna have one package each, and light packages
stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import mtsearch

ROOT = Path(mtsearch.__file__).parent
ORDER = [
    ("testing",),
    ("api", "run", "train", "prepare", "report", "export"),
    ("commands",),
    ("execution",),
    ("strategy",),
    ("jobs",),
    ("observers",),
    ("deploy",),
    ("reporting",),
    ("runs",),
    ("population",),
    ("training",),
    ("models",),
    ("balancing",),
    ("sparsity",),
    ("tasks",),
    ("data",),
    ("pareto",),
    ("config",),
]
LEVEL = {name: level for level, names in enumerate(ORDER) for name in names}


def imports(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (
                f"{node.module}.{alias.name}" for alias in node.names if node.module == "mtsearch"
            )


def modules():
    for path in ROOT.rglob("*.py"):
        package = path.relative_to(ROOT).parts[0].removesuffix(".py")
        if package in LEVEL:
            yield package, path


def test_imports_run_downwards_only():
    wrong = []
    for package, path in modules():
        for name in imports(path):
            other = name.split(".")[1] if name.startswith("mtsearch.") else None
            if other in LEVEL and LEVEL[other] < LEVEL[package]:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong, wrong


def test_every_package_has_its_layer():
    packages = {p.name for p in ROOT.iterdir() if p.is_dir() and any(p.glob("*.py"))} | {
        p.stem for p in ROOT.glob("*.py")
    }
    assert packages - {"__init__", "__main__"} <= set(LEVEL)


@pytest.mark.parametrize(("library", "home"), [("ray", "execution"), ("optuna", "strategy")])
def test_one_package_imports_the_library(library, home):
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for package, path in modules()
        for name in imports(path)
        if name.split(".")[0] == library and package != home
    ]
    assert not wrong, wrong


def test_light_packages_load_neither_torch_nor_ray():
    code = (
        "import sys, pkgutil, importlib\nimport mtsearch.config, mtsearch.pareto, mtsearch.runs,"
        " mtsearch.reporting\n"
    )
    code += "for p in (mtsearch.config, mtsearch.pareto, mtsearch.runs, mtsearch.reporting):\n"
    code += (
        "    for m in pkgutil.walk_packages(p.__path__, p.__name__ + '.'):"
        " importlib.import_module(m.name)\n"
    )
    code += "print([m for m in ('torch', 'ray', 'optuna') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_no_file_passes_400_lines():
    long = [
        str(p.relative_to(ROOT))
        for p in ROOT.rglob("*.py")
        if len(p.read_text().splitlines()) > 400
    ]
    assert not long, long
