"""A run keeps where its plug-ins are: it is resumed, reported and trained again with them, from any
folder, or says which is missing."""

import hashlib
import json
import os
import shutil
import uuid
from pathlib import Path

import pytest

from mtsearch.commands.report import main as report
from mtsearch.commands.run import main as run_main
from mtsearch.config.errors import BadInput
from mtsearch.config.reading import load_space
from mtsearch.config.trust import refuse_untrusted, trust_plugins
from mtsearch.jobs.environment import check_plugins
from mtsearch.jobs.job import Job
from mtsearch.runs.directory import RunDirectory
from mtsearch.runs.opening import create_run
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
    made = create_run(
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


def test_a_moved_plugin_is_named(run, tmp_path, capsys, forget_plugins):
    moved = (tmp_path / "work" / "mine.py").rename(tmp_path / "moved.py")
    for command, words in ((report, [f"run={run.path}"]), (run_main, [f"resume={run.path}"])):
        assert command(words) == 2
        assert (
            "`plugins` names a file that does not exist" in (said := capsys.readouterr().err)
            and "mine.py" in said
        )
    assert RunDirectory(run.path, [str(moved)]).space.trial().balancing.name == "outside"
    forget_plugins()
    assert report([f"run={run.path}", f"plugins=[{moved}]", "format=csv"]) == 0


def test_a_changed_plugin_stops_a_resume(run):
    with pytest.raises(
        BadInput, match=r"the plug-in mine.py is not the one that the run began with"
    ):
        check_plugins(RunDirectory(run.path).space, run.environment)


ELSEWHERE = ["evil.py", "{run}/evil.py", "evil", "/proc/self/cwd/evil.py", "{outside}/evil.py"]


@pytest.mark.parametrize("entry", ELSEWHERE)
def test_a_plugin_of_a_foreign_run_is_not_loaded(run, tmp_path, monkeypatch, capsys, entry):
    """The run was made by somebody else, who chose config.yaml and events.jsonl as a whole."""
    (tmp_path / "outside").mkdir()
    for folder in (run.path, tmp_path / "outside"):
        (folder / "evil.py").write_text("raise SystemExit('it ran')")
    config, path = (run.path / "config.yaml").read_text(), str(tmp_path / "work" / "mine.py")
    config = config.replace(path, entry.format(run=run.path, outside=tmp_path / "outside"))
    (run.path / "config.yaml").write_text(config)
    first, *rest = run.events_path.read_text().splitlines()
    checksum = hashlib.sha256(config.encode()).hexdigest()
    first = json.dumps({**json.loads(first), "config_sha256": checksum})
    run.events_path.write_text("\n".join([first, *rest]) + "\n")
    monkeypatch.chdir(run.path)
    monkeypatch.syspath_prepend(run.path)
    assert report(["run=."]) == 2
    said = capsys.readouterr().err
    assert "Name it yourself, if you trust it, with `plugins=[" in said and "it ran" not in said


@pytest.mark.parametrize("damage", ["mode", "run", "link", "gone", "inside"])
def test_a_record_of_trust_that_others_could_write_counts_for_nothing(
    run, tmp_path, monkeypatch, damage
):
    record = Path(os.environ["XDG_STATE_HOME"]) / "mtsearch" / "trusted" / f"{run.run_id}.json"
    assert record.stat().st_mode & 0o777 == 0o600 and RunDirectory(run.path).space
    if damage == "mode":
        record.chmod(0o620)
    elif damage == "run":
        record.write_text(json.dumps({**json.loads(record.read_text()), "run": "0" * 32}))
    elif damage == "link":
        record.replace(tmp_path / "record.json")
        record.symlink_to(tmp_path / "record.json")
    elif damage == "gone":
        record.unlink()
    else:
        monkeypatch.setenv("XDG_STATE_HOME", str(run.path))
        inside = run.path / "mtsearch" / "trusted" / record.name
        inside.parent.mkdir(parents=True)
        shutil.copy(record, inside)
    with pytest.raises(BadInput, match=r"is not loaded from a run directory\. Name it yourself"):
        _ = RunDirectory(run.path).space
    assert RunDirectory(run.path, [str(tmp_path / "work" / "mine.py")]).space


def test_a_plugin_that_changed_is_not_loaded_unasked(run, tmp_path):
    path = tmp_path / "work" / "mine.py"
    path.write_text(METHOD + "\n")
    with pytest.raises(BadInput, match=r"is not the one that the run .* began with"):
        _ = RunDirectory(run.path).space
    assert RunDirectory(run.path, [str(path)]).space


def test_a_module_is_trusted_by_its_files(run, tmp_path, monkeypatch):
    for name, value in (("one", 1), ("two", 2)):
        (tmp_path / name / "package").mkdir(parents=True)
        (tmp_path / name / "package" / "__init__.py").write_text("")
        (tmp_path / name / "package" / "part.py").write_text(f"raise SystemExit({value})")
    monkeypatch.syspath_prepend(tmp_path / "one")
    run_id = uuid.uuid4().hex
    trust_plugins(run_id, ["package.part"])
    refuse_untrusted(run.path, run_id, ["package.part"])
    monkeypatch.syspath_prepend(tmp_path / "two")
    with pytest.raises(BadInput, match="began with"):
        refuse_untrusted(run.path, run_id, ["package.part"])


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
        "checkpoint": {"folder": str(tmp_path / "checkpoint")},
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
