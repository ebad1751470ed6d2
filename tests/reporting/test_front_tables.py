"""The tables of a run: contents, order and atomic replacement."""

import csv
import io
import json
import math

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from mtsearch.config.files import replacing
from mtsearch.config.schema import Constraint
from mtsearch.pareto import search_result
from mtsearch.pareto.columns import format_value, label
from mtsearch.reporting.markdown import write_markdown
from mtsearch.reporting.tables import write_csv, write_parquet
from mtsearch.reporting.terminal import print_front
from tests.helpers.synthetic_search import OBJECTIVES, TWO, evaluated, search

FILES = ["front.csv", "front.md", "front.parquet", "history.parquet", "trials.parquet"]


def derive(folder, rows, history, objectives):
    found = search_result(rows, history, objectives)
    write_parquet(folder, found)
    write_csv(folder / "front.csv", found)
    write_markdown(folder / "front.md", found)
    return found


@pytest.fixture
def found(tmp_path):
    rows, history = search()
    front = {row["trial"] for row in search_result(rows, [], OBJECTIVES).front_rows}
    return derive(tmp_path, evaluated(rows, front)[::-1], history[::-1], OBJECTIVES)


def test_five_files_are_written(found, tmp_path):
    assert sorted(p.name for p in tmp_path.iterdir()) == FILES


def test_trials_table_keeps_order_and_values(found, tmp_path):
    rows = pq.read_table(tmp_path / "trials.parquet").to_pylist()
    assert [row["trial"] for row in rows] == [f"{i:04d}" for i in range(24)] + [
        "plain",
        "published",
        "stl",
    ]
    given = {row["trial"]: row for row in search()[0]}
    for row in rows:
        for key, value in given[row["trial"]].items():
            assert row[key] == value or (
                isinstance(value, float) and math.isnan(value) and math.isnan(row[key])
            )
    assert (
        rows[5]["val/image/error"] is None
        and rows[5]["trial.balancing.mu"] is not None
        and rows[5]["reason"]
    )


def test_column_order_does_not_depend_on_rows(found, tmp_path):
    columns = pq.read_table(tmp_path / "trials.parquet").column_names
    assert columns[:4] == ["trial", "kind", "control", "state"] and columns[-1] == "command"
    start = columns.index("val/image/error")
    assert columns[start : start + 3] == [o.metric for o in OBJECTIVES]
    derive(tmp_path, [dict(reversed(row.items())) for row in search()[0]], [], OBJECTIVES)
    again = pq.read_table(tmp_path / "trials.parquet").column_names
    assert again == [c for c in columns if c in again]


def test_history_has_one_row_per_report(found, tmp_path):
    table = pq.read_table(tmp_path / "history.parquet")
    assert table.column_names[:4] == ["trial", "report", "phase", "epoch"]
    keys = [(row["trial"], row["report"]) for row in table.to_pylist()]
    assert keys == sorted(keys) and len(keys) == len(search()[1])


def test_front_table_has_one_knee_in_order(found, tmp_path):
    front = pq.read_table(tmp_path / "front.parquet").to_pylist()
    errors = [row["val/image/error"] for row in front]
    assert (
        errors == sorted(errors)
        and all(row["front"] for row in front)
        and sum(row["knee"] for row in front) == 1
    )


def test_csv_has_front_then_controls(found, tmp_path):
    lines = list(csv.DictReader((tmp_path / "front.csv").open()))
    assert [line["trial"] for line in lines] == [row["trial"] for row in found.front_rows] + [
        "plain",
        "published",
        "stl",
    ]
    assert all(
        line["command"].startswith("python -m mtsearch.train space=pareto_cm") for line in lines
    )
    assert float(lines[0]["val/image/error"]) == found.front_rows[0]["val/image/error"]
    assert lines[0]["control"] == "" and lines[0]["front"] == "true"


def test_no_cell_breaks_the_markdown_table(tmp_path):
    rows, _ = search()
    rows[0] |= {
        "command": "python -m x a='b|c'",
        "trial.balancing.name": "a|b\nc",
        "val/image/error": 0.0,
    }
    derive(tmp_path, rows, [], OBJECTIVES)
    lines = (tmp_path / "front.md").read_text().splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in table}) == 1
    assert "★" in "".join(table) and "| control stl |" in "\n".join(table)
    assert any(line.startswith("- Δm is the mean over tasks") for line in lines) and any(
        "patches10_digits" in line for line in lines
    )


def test_delta_m_is_omitted_with_a_sentence(tmp_path):
    rows, _ = search()
    for row in rows:
        if row.get("control") == "stl":
            row["val/image/error"] = 100.0
    derive(tmp_path, rows, [], OBJECTIVES)
    text = (tmp_path / "front.md").read_text()
    assert (
        "Δm is omitted: it divides by the figures of control stl" in text
        and "Δm is the mean" not in text
    )


def test_lists_and_mixed_columns_become_json(tmp_path):
    rows = [
        {
            "trial": "0000",
            "state": "done",
            "kind": "search",
            "val/image/error": 1,
            "trial.betas": [0.9, 0.999],
            "trial.x": 1,
        },
        {
            "trial": "0001",
            "state": "done",
            "kind": "search",
            "val/image/error": 2.5,
            "trial.betas": None,
            "trial.x": "one",
        },
    ]
    derive(tmp_path, rows, [], TWO[:1])
    table = pq.read_table(tmp_path / "trials.parquet").to_pylist()
    assert json.loads(table[0]["trial.betas"]) == [0.9, 0.999] and table[1]["trial.betas"] is None
    assert [row["trial.x"] for row in table] == ["1", "one"] and [
        row["val/image/error"] for row in table
    ] == [1.0, 2.5]


def test_integers_beyond_64_bits_become_floats(tmp_path):
    rows = [
        {
            "trial": "0000",
            "state": "done",
            "kind": "search",
            "val/image/error": 1.0,
            "trial.x": 10**25,
        }
    ]
    derive(tmp_path, rows, [], TWO[:1])
    assert pq.read_table(tmp_path / "trials.parquet").to_pylist()[0]["trial.x"] == 1e25


def test_run_without_trials_has_tables(tmp_path):
    found = derive(tmp_path, [], [], OBJECTIVES)
    assert (
        found.front_rows == []
        and found.knee is None
        and sorted(p.name for p in tmp_path.iterdir()) == FILES
    )


def test_file_is_replaced_completely_or_not(tmp_path):
    path = tmp_path / "front.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["front.csv"]
    with replacing(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new" and [p.name for p in tmp_path.iterdir()] == ["front.csv"]


def test_infeasible_trials_are_separate():
    rows, _ = search()
    found = search_result(rows, [], OBJECTIVES, [Constraint(metric="model/density", max=0.5)])
    assert {row["trial"] for row in found.infeasible} == {
        r["trial"]
        for r in rows
        if r["kind"] == "search" and r.get("model/density", 0) > 0.5 and r["state"] == "done"
    }
    assert not {row["trial"] for row in found.eligible} & {row["trial"] for row in found.infeasible}


def printed(found, width=200):
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    print_front(found, console)
    return console.file.getvalue()


def test_terminal_shows_front_controls_and_failures(found):
    text = printed(found)
    lines = text.splitlines()
    order = [
        next(i for i, line in enumerate(lines) if f"│ {row['trial']}" in line)
        for row in found.front_rows
    ]
    assert order == sorted(order) and "0001 ★" in text
    assert next(i for i, line in enumerate(lines) if "│ stl" in line) > order[-1]
    assert (
        "Δm" in text
        and "+0.00" in text
        and "Hypervolume" in text
        and "2 failed: 0005: CUDA-free test" in text
    )


def test_terminal_table_fits_82_columns(found):
    assert max(
        len(line) for line in printed(found, 82).splitlines() if "│" in line
    ) <= 82 and "…" not in printed(found, 82)


def test_terminal_says_why_front_is_empty():
    rows, _ = search()
    assert "no trial has finished" in printed(search_result([], [], TWO))
    assert "no finished trial satisfies the constraints" in printed(
        search_result(rows, [], TWO, [Constraint(metric="model/density", max=0.0)])
    )


def test_terminal_does_not_interpret_markup():
    rows, _ = search()
    rows[5]["reason"] = "[red]index [/nothing] out of range"
    assert "[red]index [/nothing] out of range" in printed(search_result(rows, [], TWO))


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("val/image/error", "image error (%)"),
        ("test/image/error", "image error, test (%)"),
        ("val/image/loss", "image loss"),
        ("model/sparsity_rate", "sparsity rate (%)"),
        ("model/params", "parameters"),
        ("cost/seconds", "time (s)"),
        ("delta_m", "Δm (%)"),
        ("trial.optimizer.lr", "optimizer.lr"),
    ],
)
def test_metric_labels(metric, words):
    assert label(metric) == words


def test_regression_error_is_no_percentage():
    assert label("val/depth/error", {"depth": "regression"}) == "depth error"


@pytest.mark.parametrize(
    ("value", "metric", "text"),
    [
        (45.678, "val/image/error", "45.68"),
        (1.5, "delta_m", "+1.50"),
        (105000, "model/params", "105,000"),
        (1.0, "model/density", "1.000"),
        (0.00149472, "trial.optimizer.lr", "0.001495"),
        (None, "x", "–"),
        (math.nan, "x", "–"),
        (math.inf, "x", "∞"),
        ([0.9, 0.99], "trial.betas", "0.9, 0.99"),
        (True, "trial.nesterov", "True"),
    ],
)
def test_format_of_values(value, metric, text):
    assert format_value(value, metric) == text
