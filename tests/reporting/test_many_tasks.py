"""Tables of searches with many tasks."""

import io

import numpy as np
import pytest
from rich.console import Console

from mtsearch.config.schema import Objective
from mtsearch.pareto.result import search_result
from mtsearch.reporting.many_tasks import grouped_columns, grouped_metrics
from mtsearch.reporting.markdown import markdown_table
from mtsearch.reporting.notes import result_columns, result_notes
from mtsearch.reporting.terminal import front_table


def made(tasks, objectives, trials=12):
    """A search whose tasks number 3, 5, 7, 9 and 11 differ most between trials."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(trials):
        errors = 30 + rng.uniform(-1, 1, tasks)
        errors[[3, 5, 7, 9, 11]] += rng.uniform(-15, 15, 5)
        row = {"trial": f"{number:04d}", "kind": "search", "state": "done"}
        if number == 0:
            row |= {"trial": "stl", "kind": "control", "control": "stl"}
        for split in ("val", "test"):
            row |= {f"{split}/attribute_{i:02d}/error": e for i, e in enumerate(errors)}
            row |= {f"{split}/mean/error": errors.mean(), f"{split}/worst/error": errors.max()}
            row[f"{split}/spread/error"] = errors.max() - errors.min()
        rows.append(row | {"model/nonzero": int(rng.integers(10_000, 90_000))})
    kinds = {f"attribute_{i:02d}": "classification" for i in range(tasks)}
    goals = [Objective(metric=metric, goal="min") for metric in objectives]
    return search_result(rows, [], goals, kinds=kinds)


TEN = [f"val/attribute_{i:02d}/error" for i in range(10)]


@pytest.mark.parametrize("tasks", [40, 60])
@pytest.mark.parametrize("objectives", [["val/mean/error", "model/nonzero"], TEN])
def test_tables_fit_into_160_columns(tasks, objectives):
    result = made(tasks, objectives)
    console = Console(file=io.StringIO(), width=160)
    console.print(front_table(result))
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 160 and "…" not in "".join(lines)
    assert "60" in " ".join(result_notes(result)) or tasks == 40
    assert len(markdown_table(result, result.front_rows).splitlines()[0].split("|")) < 22


def test_the_five_tasks_that_differ_most_have_columns():
    columns = result_columns(made(40, ["val/mean/error", "model/nonzero"]))
    single = [c for c in columns if "attribute" in c]
    assert sorted(single) == [f"val/attribute_{i:02d}/error" for i in (3, 5, 7, 9, 11)]
    assert {"val/worst/error", "val/spread/error", "test/mean/error"} <= set(columns)
    assert len(columns) == len(set(columns))


def test_few_tasks_are_not_grouped():
    assert grouped_columns([{f"val/t{i}/error": 1.0 for i in range(8)}], []) is None
    metrics = {f"val/t{i}/error": 1.0 for i in range(8)}
    assert grouped_metrics(metrics, "val/") == metrics


def test_lines_of_reports_have_aggregates_of_many_tasks():
    metrics = {f"val/t{i}/error": 1.0 for i in range(60)} | {"val/mean/error": 1.0, "lr": 0.1}
    assert grouped_metrics(metrics, "val/") == {"val/mean/error": 1.0}
