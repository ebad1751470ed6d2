"""A run keeps where its plug-ins are: it is resumed, reported and trained again with them, from any
folder, or says which is missing."""

import json

import pytest

from mtsearch.commands.report import main as report
from mtsearch.commands.run import main as run_door
from mtsearch.config.errors import BadInput
from mtsearch.config.reading import load_space
from mtsearch.jobs.environment import check_plugins
from mtsearch.jobs.job import Job
from mtsearch.runs.directory import RunDirectory
from tests.helpers.fake import PLAN

METHOD = """
from typing import Literal

from mtsearch.config.base import Model
from mtsearch.config.registry import method


@method("balancing", "outside")
class Outside(Model):
    name: Literal["outside"] = "outside"
"""
OVERRIDES = ["plugins=[mine.py]", "trial.balancing=outside", "data.dataset=multidigits"]


@pytest.fixture
def run(tmp_path, monkeypatch, forget_plugins):
    """A run whose plug-in was named relative to the working folder, which is another one now, in a
    new process so to say."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "mine.py").write_text(METHOD)
    monkeypatch.chdir(tmp_path / "work")
    space = load_space("pareto_mm", [*OVERRIDES, f"data.store={tmp_path / 'stores'}"])
    environment = {"dataset": "sample", "checksum": "abc", "plugins": {"mine.py": "0" * 64}}
    made = RunDirectory.create(
        space, environment, name="pareto_mm", overrides=OVERRIDES, root=tmp_path / "results"
    )
    made.log.append(
        "start", trial="0000", kind="search", config=space.defaults, params={}, study={}, attempt=1
    )
    made.log.close()
    monkeypatch.chdir(tmp_path)
    forget_plugins()
    return made


def test_a_run_finds_its_plugin_from_another_folder(run):
    assert RunDirectory(run.path).space.trial().balancing.name == "outside"


def test_a_row_is_trained_again_with_its_plugins(run):
    (row,) = RunDirectory(run.path).rows()
    assert row["command"].startswith(
        "python -m mtsearch.train space=pareto_mm 'plugins=[mine.py]' trial.balancing=outside"
    )


def test_a_missing_plugin_is_named_and_may_have_moved(run, tmp_path, capsys, forget_plugins):
    moved = (tmp_path / "work" / "mine.py").rename(tmp_path / "moved.py")
    for door, words in ((report, [f"run={run.path}"]), (run_door, [f"resume={run.path}"])):
        assert door(words) == 2
        assert (
            "`plugins` names a file that does not exist" in (said := capsys.readouterr().err)
            and "mine.py" in said
        )
    assert RunDirectory(run.path, [str(moved)]).space.trial().balancing.name == "outside"
    forget_plugins()
    assert report([f"run={run.path}", f"plugins=[{moved}]", "format=csv"]) == 0


def test_a_changed_plugin_does_not_go_on_with_a_run(run):
    with pytest.raises(
        BadInput, match=r"the plug-in mine.py is not the one that the run began with"
    ):
        check_plugins(RunDirectory(run.path).space, run.environment)


@pytest.mark.parametrize("entry", ["evil.py", "{run}/evil.py", "evil"])
def test_a_run_directory_brings_no_code_along(run, tmp_path, monkeypatch, capsys, entry):
    """Whoever reads a run that a stranger made, from within it even, runs nothing of the
    stranger's."""
    (run.path / "evil.py").write_text("raise SystemExit('it ran')")
    config = (run.path / "config.yaml").read_text()
    (run.path / "config.yaml").write_text(
        config.replace(str(tmp_path / "work" / "mine.py"), entry.format(run=run.path))
    )
    monkeypatch.chdir(run.path)
    monkeypatch.syspath_prepend(run.path)
    assert report(["run=."]) == 2
    said = capsys.readouterr().err
    assert "brings the plug-in" in said and "it ran" not in said


def test_a_reference_result_names_no_folder(run, tmp_path):
    found = RunDirectory(run.path)
    assert report([f"run={found.path}", f"reference={tmp_path / 'kept'}"]) == 0
    for name in ("config.yaml", "README.md", "trials.csv"):
        text = (tmp_path / "kept" / name).read_text()
        assert str(tmp_path) not in text and "mine.py" in text


@pytest.mark.parametrize("plugin, found", [("mine.py", True), ("none.py", False)])
def test_a_job_loads_them_before_it_reads_its_configuration(
    run, tmp_path, plugin, found, monkeypatch
):
    monkeypatch.setenv(PLAN, str(tmp_path))
    job = {
        "purpose": "train",
        "folder": str(tmp_path / "checkpoint"),
        "config": {"balancing": "outside"},
        "data": {"dataset": "multidigits"},
        "trial_class": "tests.helpers.fake:FakeTrial",
        "plugins": [str(tmp_path / "work" / plugin)],
    }
    job = Job(json.dumps(job))
    if found:
        assert job._failed is None and job._trial.config.balancing.name == "outside"
    else:
        assert "none.py" in job.step().failed
