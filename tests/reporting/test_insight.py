"""Owners of the front, predictions of stopped trials, and their tables."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from mtsearch.pareto import search_result
from mtsearch.pareto.volume import hypervolume
from mtsearch.reporting.insight import insight_of, write_insight
from mtsearch.reporting.owners import owners
from mtsearch.reporting.page import write_report
from mtsearch.reporting.stopped import MIN_DONE, stopped_predictions
from tests.helpers.synthetic_search import OBJECTIVES, TWO, search


def row(name, kind, image, digit, state="done", **more):
    found = {"trial": name, "kind": "search", "state": state, "trial.kind": kind, **more}
    return found | {"val/image/error": image, "val/digit/error": digit}


def test_owners_count_points_and_hypervolume():
    points = [("a", 20, 80), ("a", 30, 70), ("b", 80, 20), ("b", 85, 90), ("c", 90, 95)]
    rows = [row(f"{i:04d}", *point) for i, point in enumerate(points)]
    found = {entry["value"]: entry for entry in owners(search_result(rows, [], TWO))}
    assert [(found[v]["trials"], found[v]["front"]) for v in "abc"] == [(2, 2), (2, 1), (1, 0)]
    values = [[p[1], p[2]] for p in points]
    whole = hypervolume(values, ["min"] * 2, [100, 100])
    for value in "abc":
        rest = [v for v, p in zip(values, points, strict=True) if p[0] != value]
        lost = whole - hypervolume(rest, ["min"] * 2, [100, 100])
        assert found[value]["alone"] == pytest.approx(100 * lost / whole)
    assert found["b"]["best/val/digit/error"] == 20 and found["c"]["best/val/digit/error"] is None


def curves(trials=20, length=27):
    """Trials whose error falls as a + b / report; the last five are stopped at report 3."""
    draw = np.random.default_rng(0)
    rows, history, ends = [], [], {}
    for i in range(trials):
        lr = float(draw.uniform())
        stopped = i >= trials - 5
        end = 20 + 30 * lr
        for report in range(1, (3 if stopped else length) + 1):
            noise = 0.1 * draw.normal()
            point = {"val/image/error": end + 20 * (1 - np.log(report) / np.log(length)) + noise}
            point["val/digit/error"] = 60 - end
            history.append({"trial": f"{i:04d}", "report": report, "epoch": report, **point})
        state = "stopped" if stopped else "done"
        rows.append({**row(f"{i:04d}", "x", None, None, state), **point, "trial.lr": lr})
        ends[f"{i:04d}"] = end
    return rows, history, ends


def test_stopped_trials_are_predicted_at_the_end_of_training():
    rows, history, ends = curves()
    found = stopped_predictions(search_result(rows, history, TWO))
    assert [entry["trial"] for entry in found] == [f"{i:04d}" for i in range(15, 20)]
    for entry in found:
        metric = "val/image/error"
        assert entry[f"predicted/{metric}"] == pytest.approx(ends[entry["trial"]], abs=2)
        assert entry[f"low/{metric}"] < entry[f"predicted/{metric}"] < entry[f"high/{metric}"]
        assert entry["epoch"] == 3 and entry[f"last/{metric}"] > entry[f"predicted/{metric}"] + 5
        # does not change within a trial
        assert entry["predicted/val/digit/error"] == pytest.approx(60 - ends[entry["trial"]])


def test_few_trials_predict_nothing():
    rows, history, _ = curves(MIN_DONE + 4)
    assert stopped_predictions(search_result(rows, history, TWO)) == []
    assert stopped_predictions(search_result(*search(), OBJECTIVES)) == []
    assert owners(search_result([], [], TWO)) == []


def test_tables_and_page_have_the_insight(tmp_path):
    rows, history, _ = curves(40)
    for i, one in enumerate(rows):
        one["trial.kind"] = "xy"[i % 2]
    result = search_result(rows, history, TWO)
    insight = insight_of(result)
    write_insight(tmp_path, result, insight)
    lengths = {p.stem: len(pq.read_table(p)) for p in tmp_path.glob("*.parquet")}
    assert lengths["owners"] == 2 and lengths["stopped"] == 5
    assert lengths["importance"] == 4 and lengths["dependence"] >= 9
    write_report(tmp_path / "page.html", result, name="toy", insight=insight)
    text = (tmp_path / "page.html").read_text()
    for part in ("dependence", "owners", "stopped"):
        assert f'<section id="{part}">' in text
    write_insight(tmp_path, search_result([], [], TWO), insight_of(search_result([], [], TWO)))
    assert not list(tmp_path.glob("*.parquet"))
