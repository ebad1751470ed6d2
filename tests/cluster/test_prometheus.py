"""launch/grafana.json: the query of every panel finds data where a real Prometheus scraped a real
run, on the loopback interface."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from mtsearch.execution.session import prometheus_targets
from tests.cluster.packages import provide

PANELS = json.loads((Path(__file__).parents[2] / "launch" / "grafana.json").read_text())["panels"]
QUERIES = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
# Seconds for the run, which takes less than two minutes on an idle machine with two cores.
DEADLINE = 600
PROMETHEUS = """
global: {scrape_interval: 1s}
scrape_configs:
  - job_name: ray
    file_sd_configs: [{files: ["%s"], refresh_interval: 1s}]
"""


def asked(port, path, **query):
    with urllib.request.urlopen(
        f"http://127.0.0.1:{port}{path}?{urllib.parse.urlencode(query)}", timeout=10
    ) as answer:
        return json.load(answer)


@pytest.fixture
def prometheus(tmp_path):
    """`(port, folder)`: a Prometheus that scrapes the Ray clusters whose temporary folder this
    is."""
    provide("Prometheus", "prometheus")
    folder = Path(tempfile.mkdtemp(prefix="mts", dir="/tmp"))  # short: Ray makes sockets below it
    (tmp_path / "prometheus.yml").write_text(PROMETHEUS % prometheus_targets(folder))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
    ]
    process = subprocess.Popen(
        ["prometheus", *words, f"--web.listen-address=127.0.0.1:{port}"],
        stderr=(tmp_path / "log").open("w"),
    )
    try:
        until = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < until, (
                    tmp_path / "log"
                ).read_text()[-2000:]
                time.sleep(0.2)
        yield port, folder
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.cluster
def test_every_panel_finds_data_of_a_real_run(prometheus, tmp_path):
    port, folder = prometheus
    start = time.time()
    environment = {
        **os.environ,
        "RAY_TMPDIR": str(folder),
        "RAY_metrics_report_interval_ms": "1000",
    }
    words = [
        "space=pareto_cm",
        "profile=quick",
        "search.trials=3",
        f"results.root={tmp_path / 'results'}",
    ]
    run = subprocess.run(
        [sys.executable, "-m", "mtsearch.run", *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    empty, span = [], {"start": start, "end": time.time(), "step": 1}
    for title, expr in QUERIES:
        answer = asked(port, "/api/v1/query_range", query=expr.replace("$run", ".*"), **span)
        assert answer["status"] == "success", (title, answer)
        values = [
            float(value) for series in answer["data"]["result"] for _, value in series["values"]
        ]
        if not values or max(values) <= 0:
            empty.append(title)
    gpu = shutil.which("nvidia-smi") is not None
    # Without a GPU there are no metrics of GPU memory.
    assert empty == [title for title, _ in QUERIES if "GPU" in title and not gpu]
    scraped = asked(port, "/api/v1/query_range", query="up", **span)["data"]["result"]
    assert {series["metric"]["instance"].rpartition(":")[0] for series in scraped} == {"127.0.0.1"}
    states = asked(port, "/api/v1/query_range", query="ray_mtsearch_trials", **span)["data"][
        "result"
    ]
    most = {
        series["metric"]["state"]: max(float(value) for _, value in series["values"])
        for series in states
    }
    assert most["running"] >= 1 and most["done"] >= 4 and most["waiting"] >= 1
    assert {series["metric"]["run"] for series in states} == {
        f"pareto_cm/{Path(run.stdout.splitlines()[-1]).name}"
    }
    trials = asked(port, "/api/v1/query_range", query="ray_mtsearch_trial_objective", **span)[
        "data"
    ]["result"]
    assert {"0000", "0001", "0002"} <= {series["metric"]["trial"] for series in trials}
