"""Reference results are complete, use real data and have no local path; the README shows one."""

import csv
import re
from pathlib import Path

import pytest

from mtsearch.config.space import Space

ROOT = Path(__file__).parent.parent
REFERENCES = sorted((ROOT / "results" / "reference").glob("*/README.md"))


@pytest.mark.parametrize("page", REFERENCES, ids=lambda p: p.parent.name)
def test_a_reference_is_complete_and_names_its_data(page):
    folder = page.parent
    assert {"README.md", "config.yaml", "front.csv", "trials.csv", "front.png"} <= {
        p.name for p in folder.iterdir()
    }
    text = page.read_text()
    assert "python -m mtsearch.run space=" in text and "data.root=DATA" in text
    assert "sample" not in text
    assert Space.from_yaml((folder / "config.yaml").read_text()).config.name == folder.name
    for path in (page, folder / "config.yaml", folder / "front.csv", folder / "trials.csv"):
        assert not re.search(r"(?<![\w.])/(root|home|tmp|work|mnt|data)/", path.read_text()), path


@pytest.mark.parametrize("page", REFERENCES, ids=lambda p: p.parent.name)
def test_every_row_is_done_and_has_its_command(page):
    rows = list(csv.DictReader((page.parent / "trials.csv").open()))
    assert all(row["state"] == "done" for row in rows)
    assert all(row["command"].startswith("python -m mtsearch.train space=") for row in rows)


@pytest.mark.parametrize("name", ["pareto_cm", "pareto_mm"])
def test_a_front_row_beats_plain_hard_sharing(name):
    """A row of the front has lower errors on every task, on validation and test data, than hard
    sharing with equal weights and equal epochs."""
    rows = list(csv.DictReader((ROOT / "results" / "reference" / name / "front.csv").open()))
    (plain,) = [row for row in rows if row["control"] == "plain"]
    for split in ("val", "test"):
        errors = [
            column
            for column in plain
            if column.startswith(f"{split}/") and column.endswith("/error")
            if column.split("/")[1] not in ("mean", "worst", "spread")
        ]
        assert len(errors) == 2
        front = [row for row in rows if row["front"] == "true"]
        better = [
            row["trial"] for row in front if all(float(row[e]) < float(plain[e]) for e in errors)
        ]
        assert better, split
        dominated = [
            row["trial"]
            for row in front
            if all(float(row[e]) >= float(plain[e]) for e in errors)
            and row["model/density"] == "1.0"
        ]
        assert not dominated, split


def test_main_references_exist():
    assert {page.parent.name for page in REFERENCES} >= {"pareto_cm", "pareto_mm"}


def readme_line(row):
    """A row of the README's table, from a row of `front.csv`."""
    name = f"control {row['control']}" if row["kind"] == "control" else row["trial"]
    star = " ★" if row["knee"] == "true" else ""
    nonzero = round(float(row["model/params"]) * float(row["model/density"]))
    errors = " | ".join(f"{float(row[f'test/{task}/error']):.2f}" for task in ("image", "digit"))
    return f"| {name}{star} | {row['trial.architecture.name']} | {errors} | {nonzero:,} |"


def test_the_readme_shows_the_reference_front():
    readme = (ROOT / "README.md").read_text()
    shown = re.search(r"<!-- front -->\n.*?\n.*?\n(.*?)\n<!-- /front -->", readme, re.S)
    rows = csv.DictReader((ROOT / "results" / "reference" / "pareto_cm" / "front.csv").open())
    assert shown is not None and shown.group(1).splitlines() == [readme_line(row) for row in rows]
    assert len(readme.splitlines()) <= 120
