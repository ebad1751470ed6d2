"""launch/grafana.json: its queries name existing metrics and labels;
tests/cluster/test_prometheus.py evaluates them."""

import json
import re
from pathlib import Path

import pytest

import mtsearch
from mtsearch.execution.metrics import COUNTERS, GAUGES

FILE = Path(mtsearch.__file__).parent.parent / "launch" / "grafana.json"
pytestmark = pytest.mark.skipif(
    not FILE.is_file(), reason="these tests read the clone that the package was built from"
)
PANELS = json.loads(FILE.read_text())["panels"] if FILE.is_file() else []
QUERIES = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]


def test_the_dashboard_shows_every_metric_and_no_other():
    named = {name for _, expr in QUERIES for name in re.findall(r"\bray_(mtsearch_\w+)", expr)}
    assert named == GAUGES.keys() | COUNTERS.keys()


def test_queries_ask_for_labels_that_the_metrics_have():
    for title, expr in QUERIES:
        for name in re.findall(r"\bray_(mtsearch_\w+)", expr):
            labels = {"run", *(GAUGES[name][1] if name in GAUGES else ())}
            (by,) = re.findall(r"by \((.*?)\)", expr)
            assert set(by.split(", ")) <= labels and '{run=~"$run"}' in expr, title


def test_panels_have_title_position_and_query():
    places = [tuple(panel["gridPos"].values()) for panel in PANELS]
    assert len(set(places)) == len(places) and len({panel["id"] for panel in PANELS}) == len(PANELS)
    assert all(panel["title"] and panel["targets"] for panel in PANELS)
