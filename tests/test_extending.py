"""The blocks of docs/extending.md: its files pass their suites, and its commands train."""

import importlib
import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import mtsearch
from mtsearch.commands import prepare, train
from mtsearch.runs.directory import RunDirectory

PAGE = Path(mtsearch.__file__).parent.parent / "docs" / "extending.md"
pytestmark = pytest.mark.skipif(
    not PAGE.is_file(), reason="these tests read the clone that the package was built from"
)
TEXT = PAGE.read_text() if PAGE.is_file() else ""
FILES = {
    name: body
    for body in re.findall(r"^```(?:python|yaml)\n(.*?)^```$", TEXT, re.M | re.S)
    if (name := body.split("\n")[0][2:]).count(".")
}
COMMANDS = [
    line
    for block in re.findall(r"^```bash\n(.*?)^```$", TEXT, re.M | re.S)
    for line in block.splitlines()
]
RECIPES = re.split(r"^## ", TEXT, flags=re.M)[1:]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The files of the page."""
    path = tmp_path_factory.mktemp("extending")
    for name, body in FILES.items():
        (path / name).write_text(body)
    return path


def run(folder, command, monkeypatch, capsys, *more):
    """The exit code and the words printed of a command of the page, run in the folder and in this
    process."""
    python, _, module, *words = shlex.split(command)
    assert python == "python"
    monkeypatch.chdir(folder)
    main = {"mtsearch.train": train, "mtsearch.prepare": prepare}[module].main
    code = main([*words, *more, f"data.store={folder / 'stores'}"])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_each_recipe_has_at_most_three_files():
    for title in (
        "A dataset",
        "A task kind",
        "An architecture",
        "A balancing method",
        "A formulation",
    ):
        (recipe,) = [part for part in RECIPES if part.startswith(title)]
        files = [name for name in FILES if f"\n# {name}\n" in recipe]
        assert 2 <= len(files) <= 3 and any(name.startswith("test_") for name in files), (
            title,
            files,
        )
        assert "```bash" in recipe


def test_the_files_pass_the_linter(folder):
    checks = ["ruff", "check", "--isolated", "--line-length=140", "--select=E,F,W,UP,B,ANN", "."]
    wrong = subprocess.run(
        [sys.executable, "-m", *checks], cwd=folder, capture_output=True, text=True
    )
    assert wrong.returncode == 0, wrong.stdout


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("test_")])
def test_the_files_pass_the_suites(folder, name, monkeypatch, tmp_path, forget_plugins):
    """Each inherited test is called as pytest would, in this process."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    suites = [
        value
        for key, value in vars(importlib.import_module(name.removesuffix(".py"))).items()
        if key.startswith("Test")
    ]
    called = 0
    for suite in suites:
        for test in [test for test in dir(suite) if test.startswith("test_")]:
            wants = inspect.signature(getattr(suite, test)).parameters
            (tmp_path / test).mkdir(exist_ok=True)
            getattr(suite(), test)(**{"tmp_path": tmp_path / test} if "tmp_path" in wants else {})
            called += 1
    assert called >= 5
    for module in [
        m
        for m, value in sys.modules.items()
        if str(getattr(value, "__file__", None)).startswith(str(folder))
    ]:
        del sys.modules[module]


@pytest.mark.parametrize(
    "command",
    COMMANDS,
    ids=lambda line: re.search(r"(\w+)\.py\]", line)[1] + "-" + line.split()[2][9:],
)
def test_the_commands_run(folder, command, monkeypatch, capsys, forget_plugins):
    monkeypatch.setattr("mtsearch.reporting.publish.FORMATS", ("csv",))
    if "mtsearch.prepare" in command:
        code, out, err = run(folder, command, monkeypatch, capsys)
        assert code == 0 and "checksum" in out, err
        return
    code, out, err = run(folder, command, monkeypatch, capsys, f"results.root={folder / 'results'}")
    assert code == 0, err
    (row,) = RunDirectory(out.splitlines()[-1].removeprefix("run: ")).rows()
    assert row["state"] == "done" and "plugins=" in row["command"]
    plugin = re.search(r"(\w+)\.py\]", command)[1]
    assert any(
        plugin in str(value) for key, value in row.items() if key.startswith("trial.")
    ) or plugin in ("stripes", "ordinal", "power")


def test_changed_builder_prepares_the_dataset_again(
    folder, tmp_path, monkeypatch, capsys, forget_plugins
):
    for name in ("stripes.py", "stripes.yaml"):
        (tmp_path / name).write_text(FILES[name])
    first = run(tmp_path, COMMANDS[0], monkeypatch, capsys)[1].splitlines()
    again = run(tmp_path, COMMANDS[0], monkeypatch, capsys)[1].splitlines()
    assert first[-1] == again[-1] and not [line for line in again if line.startswith("building")]
    (tmp_path / "stripes.py").write_text(
        FILES["stripes.py"].replace("places] += 120", "places] += 100")
    )
    forget_plugins()
    changed = run(tmp_path, COMMANDS[0], monkeypatch, capsys)[1].splitlines()
    assert changed[-1] != first[-1] and changed[-2] != first[-2], "the same store and checksum"


@pytest.mark.slow
def test_search_with_plugin_runs_and_resumes(folder, tmp_path):
    """From a working folder where neither the space nor the plug-in lies, resumed from yet another
    one."""
    space = (
        (folder / "small.yaml")
        .read_text()
        .replace("trial:\n", "plugins: [stitch.py]\ntrial:\n  architecture: stitch\n")
    )
    (folder / "stitched.yaml").write_text(space)
    words = [
        f"space={folder / 'stitched.yaml'}",
        "search.slots=1",
        "results.root=out",
        f"data.store={tmp_path / 'store'}",
    ]
    (tmp_path / "a").mkdir()
    first = subprocess.run(
        [sys.executable, "-m", "mtsearch.run", *words],
        cwd=tmp_path / "a",
        capture_output=True,
        text=True,
    )
    assert first.returncode == 0, first.stderr[-3000:] + first.stdout[-3000:]
    run = tmp_path / "a" / first.stdout.splitlines()[-1].removeprefix("run: ")
    again = [sys.executable, "-m", "mtsearch.run", f"resume={run}", "search.trials=3"]
    second = subprocess.run(again, cwd=tmp_path, capture_output=True, text=True)
    assert second.returncode == 0, second.stderr[-3000:] + second.stdout[-3000:]
    rows = RunDirectory(run).rows()
    assert [row["state"] for row in rows] == ["done"] * 3 and {
        row["trial.architecture.name"] for row in rows
    } == {"stitch"}
