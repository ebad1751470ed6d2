"""The latency of a network, and the trials that measure it."""

import json

import pytest

from mtsearch.commands import report, train
from mtsearch.config.cards import TaskCard
from mtsearch.config.schema import BackboneCMConfig, HPSConfig, Latency
from mtsearch.jobs.latency import latency_of
from mtsearch.models import build_model
from mtsearch.runs.opening import open_run


def test_batches_take_longer_than_single_examples():
    shape = (3, 32, 32)
    net = build_model(HPSConfig(), BackboneCMConfig(), [TaskCard(name="a", outputs=10)], shape)
    one, many = (latency_of(net, shape, Latency(batch_size=size)) for size in (1, 64))
    assert 0 < one < many


@pytest.mark.parametrize("sparsity", ["none", "{mode: target, target: 0.5}"])
def test_trials_measure_latency_once_and_sparse_ones_at_the_end(tmp_path, monkeypatch, sparsity):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.yaml").write_text(
        "name: mine\ndata: {dataset: patches10_digits, limit: 100}\n"
        "objectives: [val/mean/error, {name: cost, expression: 2 * model/latency}]\n"
        "trial: {backbone: cm, epochs: {search: 1, retrain: 1}, sparsity: " + sparsity + "}\n"
    )
    assert train.main(["space=my.yaml", "results.run=one"]) == 0
    run = open_run("results/mine/one")
    events = [json.loads(line) for line in run.events_path.read_text().splitlines()]
    reports = [event["metrics"] for event in events if event["event"] == "report"]
    assert len({metrics["model/latency"] for metrics in reports}) == 1
    assert reports[0]["cost"] == 2 * reports[0]["model/latency"]
    (end,) = [event for event in events if event["event"] == "end"]
    (row,) = run.rows()
    assert ("measured" in end) == (sparsity != "none")
    measured = end.get("measured", reports[0])["model/latency"]
    assert row["model/latency"] == measured and row["cost"] == 2 * measured
    assert report.main(["run=results/mine/one"]) == 0
