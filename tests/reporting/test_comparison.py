"""The page of several runs."""

import json
import re

import pytest

from mtsearch.config.errors import BadInput
from mtsearch.pareto import search_result
from mtsearch.pareto.volume import hypervolume
from mtsearch.reporting.comparison import MAX_RUNS, ComparedRun, write_comparison
from tests.helpers.synthetic_search import OBJECTIVES, TWO, search


def compared(seed, objectives=TWO, address="results/a"):
    result = search_result(*search(seed=seed), objectives)
    return ComparedRun("pareto_cm", address, result, "name: pareto_cm\n", {"torch": "2.14"})


@pytest.fixture
def written(tmp_path):
    runs = [compared(0), compared(1, address="results/b c")]
    table = write_comparison(tmp_path / "page.html", runs)
    text = (tmp_path / "page.html").read_text()
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])
    return runs, table, text, data


def test_rows_keep_the_front_of_their_run(written):
    runs, _, _, data = written
    for i, run in enumerate(runs):
        front = {row["trial"] for row in data["rows"] if row["run"] == i and row.get("front")}
        assert front == {row["trial"] for row in run.result.front_rows}
    assert len({row["id"] for row in data["rows"]}) == len(data["rows"]) == 54
    assert {row["id"] for row in data["rows"]} >= set(data["history"])


def test_commands_name_the_run_of_a_row(written):
    _, _, _, data = written
    assert data["runs"] == [
        {"name": "A", "address": "results/a"},
        {"name": "B", "address": "'results/b c'"},
    ]


def test_hypervolumes_have_one_reference(written):
    runs, table, _, data = written
    for run, series, row in zip(runs, data["hypervolumes"], table[1:], strict=True):
        points = [[r[o.metric] for o in TWO] for r in run.result.front_rows]
        share = hypervolume(points, ["min", "min"], (100.0, 100.0)) / 100
        assert series["values"][-1] == pytest.approx(share) and row[4] == f"{share:.2f}"


def test_rows_of_one_configuration_are_paired(tmp_path):
    runs = [compared(0), compared(0, address="results/b")]
    runs[1].result.rows[0]["val/image/error"] += 1.5
    write_comparison(tmp_path / "page.html", runs)
    text = (tmp_path / "page.html").read_text()
    pairs = text[text.index("Paired rows") :]
    rows = re.findall(r'<th scope="row">(.*?)</th>(.*?)</tr>', pairs[: pairs.index("</table>")])
    named = {name: re.findall("<td>(.*?)</td>", cells) for name, cells in rows}
    assert len(named) == 25 and {"stl", "mean of 24"} <= set(named)  # 21 trials, 3 controls, mean
    assert named["0000"][2] == "+1.50" and named["0001"][2] == "0.00"


def test_different_data_are_noted(tmp_path):
    other = compared(1)
    for row in other.result.rows:
        row["dataset"] = "another"
    write_comparison(tmp_path / "page.html", [compared(0), other])
    assert "used different data" in (tmp_path / "page.html").read_text()


def test_refusals(tmp_path):
    with pytest.raises(BadInput, match="same objectives"):
        write_comparison(tmp_path / "page.html", [compared(0), compared(0, OBJECTIVES)])
    with pytest.raises(BadInput, match=f"at most {MAX_RUNS} times"):
        write_comparison(tmp_path / "page.html", [compared(0)] * (MAX_RUNS + 1))
    assert not list(tmp_path.iterdir())
