"""The report command: from the events of a run directory to its tables, picture and page."""

import shutil
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from mtsearch.commands.report import main, write
from mtsearch.config.reading import load_space
from mtsearch.runs.directory import RunDirectory
from mtsearch.runs.opening import create_run
from tests.helpers.synthetic_search import LABEL, search

ALL = [
    "front.csv",
    "front.md",
    "front.parquet",
    "front.png",
    "history.parquet",
    "report.html",
    "trials.parquet",
]


@pytest.fixture
def run(tmp_path):
    space = load_space("pareto_cm", ["search.trials=4"])
    facts = {
        "dataset": LABEL,
        "checksum": "0",
        "tasks": {"image": "classification", "digit": "classification"},
    }
    made = create_run(space, facts, name="pareto_cm", root=tmp_path)
    rows, history = search(trials=4)
    for row in rows:
        tree = space.controls[row["control"]] if row["control"] else space.defaults
        made.log.append(
            "start",
            trial=row["trial"],
            kind=row["kind"],
            control=row["control"],
            config=tree,
            params={},
            study={},
            attempt=1,
        )
        for entry in (h for h in history if h["trial"] == row["trial"]):
            metrics = {
                "model/density": row["model/density"],
                "model/nonzero": int(1e5 * row["model/density"]),
                **{k: v for k, v in entry.items() if k != "trial"},
            }
            made.log.append("report", trial=row["trial"], report=entry["report"], metrics=metrics)
        made.log.append("end", trial=row["trial"], state="done", selected=10)
    made.log.close()
    return made.path


def derived(run):
    return sorted(p.name for p in run.iterdir() if p.name in ALL)


def test_report_writes_all_files_and_prints_the_front(run, capsys):
    assert main([f"run={run}"]) == 0
    assert derived(run) == ALL
    lines = capsys.readouterr().out.splitlines()
    assert (
        lines[-1] == f"run: {run}"
        and any("★" in line for line in lines)
        and any("stl" in line for line in lines)
    )
    rows = pq.read_table(run / "trials.parquet").to_pylist()
    assert len(rows) == 7 and all(
        row["command"].startswith("python -m mtsearch.train space=pareto_cm") for row in rows
    )
    page = (run / "report.html").read_text(encoding="utf-8")
    assert LABEL in page and "chebyshev_al" in page


@pytest.mark.parametrize("ending", ["html", "md", "csv", "png"])
def test_a_format_alone_is_written_alone(run, ending):
    assert main([f"run={run}", f"format={ending}"]) == 0
    assert derived(run) == [name for name in ALL if name.endswith(ending)]


def test_writing_twice_changes_no_table(run):
    write(RunDirectory(run))
    before = {name: (run / name).read_bytes() for name in ALL if not name.endswith("png")}
    write(RunDirectory(run))
    assert before == {name: (run / name).read_bytes() for name in before}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["format=html"], "`run` is missing"),
        (["run=nowhere"], "is not a run directory"),
        (["rum=x"], "Did you mean `run`?"),
        (
            ["somewhere"],
            "arguments are key=value. Found `somewhere`. Write, for example, `run=VALUE`",
        ),
        (["run="], "`run` has no value"),
        (["run=nowhere", "--force"], "`--force` is not an option"),
    ],
)
def test_bad_input_gets_one_sentence_and_code_2(words, sentence, capsys):
    assert main(words) == 2
    assert sentence in capsys.readouterr().err


def test_an_unknown_format_is_refused(run, capsys):
    assert main([f"run={run}", "format=pdf"]) == 2
    assert (
        "`format` is unknown: `pdf`. Known here: `csv`" in capsys.readouterr().err
        and derived(run) == []
    )


def test_a_reference_that_is_no_folder_is_refused(run, capsys, tmp_path):
    (tmp_path / "file").touch()
    assert main([f"run={run}", f"reference={tmp_path / 'file'}"]) == 2
    said = capsys.readouterr().err
    assert (
        "`reference` is not a folder that can be written to" in said
        and said.count("\n") == 1
        and derived(run) == []
    )


def test_help_names_the_formats(capsys):
    assert main(["--help"]) == 0
    assert "format=html|md|csv|png|parquet" in capsys.readouterr().out


def test_pareto_and_the_command_import_neither_torch_nor_ray():
    names = (
        "mtsearch.report, mtsearch.reporting.publish, mtsearch.reporting.plots,"
        " mtsearch.reporting.page, mtsearch.runs.directory"
    )
    code = f"import sys, {names}; print({{'torch', 'ray', 'optuna'}} & set(sys.modules))"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "set()"
    )


def test_two_runs_are_compared_in_one_page(run, tmp_path, capsys):
    out, other = tmp_path / "both.html", tmp_path / "copy"
    shutil.copytree(run, other)
    assert main([f"run={run}", f"run={other}", f"out={out}"]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[-1] == f"page: {out}" and "A: pareto_cm" in shown
    assert "Paired rows" in out.read_text()


def test_comparison_refuses_other_keys(run, capsys):
    assert main([f"run={run}", f"run={run}", "format=png"]) == 2
    assert "`format` is no key of a comparison" in capsys.readouterr().err
    assert main([f"run={run}", "out=a.html"]) == 2
    assert "`out` is for a comparison" in capsys.readouterr().err


def test_the_same_run_twice_is_refused(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(run)
    for other in (str(run), f"{run}/", "link"):
        assert main([f"run={run}", f"run={other}"]) == 2
        assert "`run` names the same run twice: " in capsys.readouterr().err
    assert not (tmp_path / "comparison.html").exists()
