"""Names, reasons, labels and notes from outside in every file that presents a run."""

import csv
import io

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from mtsearch.pareto import search_result
from mtsearch.reporting.markdown import escape, markdown_table, write_markdown
from mtsearch.reporting.page import page
from mtsearch.reporting.tables import write_csv, write_parquet
from mtsearch.reporting.terminal import print_front
from tests.helpers.synthetic_search import OBJECTIVES, search

ESCAPE = "\x1b[2J\x1b]0;owned\x07\x00\x9b"
HTML = "<img src=x onerror=alert(1)>"
LINK = "![x](http://example.org/a.png)"


@pytest.fixture
def result():
    rows, history = search()
    text = ESCAPE + HTML + LINK
    for row in rows:
        row |= {"dataset": text, "trial.architecture.name": text + str(row["seed"])}
    rows[5] |= {"reason": text}
    rows[-1] |= {"control": text, "command": f"python `{HTML}` {ESCAPE}"}
    rows[0] |= {f"val/{ESCAPE}{HTML}/error": 1.0, "trial.note": f"=cmd{ESCAPE}"}
    notes = f"{text} `val/{ESCAPE}{HTML}/error`"
    return search_result(rows, history, OBJECTIVES, notes=notes)


def assert_no_controls(text):
    assert not [c for c in text if (ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160]


def test_markdown_has_no_html_and_no_images(result, tmp_path):
    write_markdown(tmp_path / "front.md", result)
    for text in ((tmp_path / "front.md").read_text(), markdown_table(result, result.rows)):
        assert_no_controls(text)
        prose = "".join(part for i, part in enumerate(text.split("`")) if i % 2 == 0)
        assert "<" not in prose and "](" not in prose and "&lt;img" in prose


def test_markdown_escape_leaves_code():
    assert escape("a < b `c < d` [x](y)") == "a &lt; b `c < d` [x]\\(y)"
    assert escape("one ` <b>") == "one ` &lt;b>"


def test_markdown_command_with_backticks_is_one_code_span():
    rows, _ = search()
    for row in rows:
        row["command"] = f"echo ``{HTML}`` | cat"
    text = markdown_table(search_result(rows, [], OBJECTIVES), rows, command=True)
    assert f"``` echo ``{HTML}`` \\| cat ```" in text


def test_csv_quotes_formulas_and_keeps_numbers(tmp_path):
    cells = ["=1+1", "+cmd", "-cmd", "@sum", " =x", "\t=x", "\r=x", "-5", "+1e3", "plain", -5, 1e-3]
    rows = [
        {"trial": f"{i:04d}", "kind": "search", "state": "done", "a": cell, "=b": 1}
        for i, cell in enumerate(cells)
    ]
    found = search_result(rows, [], OBJECTIVES)
    write_csv(tmp_path / "trials.csv", found, found.rows)
    lines = list(csv.DictReader((tmp_path / "trials.csv").open()))
    assert [line["a"] for line in lines] == [
        *("'=1+1", "'+cmd", "'-cmd", "'@sum", "' =x", "' =x", "' =x"),
        *("-5", "+1e3", "plain", "-5", "0.001"),
    ]
    assert "'=b" in lines[0]


def test_no_file_has_control_characters(result, tmp_path):
    write_csv(tmp_path / "trials.csv", result, result.rows)
    write_parquet(tmp_path, result)
    assert_no_controls((tmp_path / "trials.csv").read_text())
    for row in pq.read_table(tmp_path / "trials.parquet").to_pylist():
        for value in row.values():
            assert_no_controls(value if isinstance(value, str) else "")
    facts = {"name": ESCAPE, "description": ESCAPE, "configuration": f"a: {ESCAPE}\nb: 1"}
    text = page(result, **facts, environment={ESCAPE: ESCAPE}, address=ESCAPE)
    assert_no_controls(text.split("<script>")[0])
    assert HTML not in text.split("<script>")[0]
    assert "\\u001b" not in text.split('id="data">')[1].split("</script>")[0]


def test_terminal_has_no_control_characters(result):
    console = Console(file=io.StringIO(), width=400, force_terminal=True, color_system=None)
    print_front(result, console)
    assert_no_controls(console.file.getvalue())
