"""The trained network of a run, and commands without this machine's folders."""

import json
import shlex

import pytest
import torch

from mtsearch.commands import export, report, train
from mtsearch.config.errors import BadInput
from mtsearch.jobs.restore import load_trial
from mtsearch.runs.commands import strip_local_paths
from mtsearch.runs.opening import open_run
from mtsearch.runs.state import RunState


def test_network_is_restored_with_its_data(tmp_path, monkeypatch, capsys):
    """Also where those are not what the default root would give."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.yaml").write_text(
        "name: mine\ndata: {dataset: patches10_digits}\nobjectives: [val/image/error,"
        " val/digit/error]\n"
    )
    words = [
        f"space={tmp_path / 'my.yaml'}",
        f"data.store={tmp_path / 'stores'}",
        "data.limit=200",
        "trial.epochs={search: 1, retrain: 1}",
    ]
    assert train.main([*words, "results.run=one", "test=true"]) == 0
    run = open_run("results/mine/one")
    trial = load_trial(run, "0000")
    assert (
        trial.data.store == tmp_path / "stores"
        and trial.evaluate("test") == run.state().trials["0000"].test
    )
    assert torch.equal(
        next(trial.selected_model().parameters()),
        next(load_trial(run, "0000").selected_model().parameters()),
    )
    with pytest.raises(BadInput, match="has no trial `0003`"):
        load_trial(run, "0003")
    folded = []
    fold = RunState.fold
    monkeypatch.setattr(
        RunState, "fold", lambda self, event, line: folded.append(line) or fold(self, event, line)
    )
    once = [1, *range(1, len(list(run.events())) + 1)]  # the first event is read to open the run
    assert export.main(["run=results/mine/one"]) == 0 and folded == once
    folded.clear()
    assert report.main(["run=results/mine/one"]) == 0 and folded == once
    capsys.readouterr()
    for path in (tmp_path / "results" / "mine" / "one" / "export" / "0000").iterdir():
        assert str(tmp_path).encode() not in path.read_bytes(), path.name


def test_settings_of_another_version_are_refused(tmp_path, monkeypatch):
    """An event log of schema 1 has no checksum that binds a trial's configuration."""
    monkeypatch.chdir(tmp_path)
    words = ["space=pareto_cm", "profile=quick", "data.limit=60", "results.run=one"]
    words += ["trial.epochs={search: 1, retrain: 0}", "trial.architecture=hps"]
    assert train.main([*words, "trial.sparsity=none", "test=true"]) == 0
    events = tmp_path / "results/pareto_cm/one/events.jsonl"
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    for line in lines:
        del line["run"]
    del lines[0]["config_sha256"]
    lines[0]["schema"] = 1
    trial = load_trial(open_run(events.parent), "0000", {"store": tmp_path / "stores"})
    trial.save(events.parent / "checkpoints" / "0000")
    events.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert load_trial(open_run(events.parent), "0000").reports == trial.reports
    with pytest.raises(BadInput, match=r"unknown key `data\.rot`"):
        load_trial(open_run(events.parent), "0000", {"rot": "x"})
    lines[1]["config"]["gone"] = 1
    events.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    with pytest.raises(BadInput, match=r"unknown key `trial\.gone`"):
        load_trial(open_run(events.parent), "0000")


def test_commands_without_folders():
    given = (
        "python -m mtsearch.train space=/home/me/a.yaml data.root=/data data.store=/fast"
        " 'plugins=[/home/me/p.py, lib]'"
    )
    assert strip_local_paths(shlex.split(f"{given} data.dataset=/x/c.yaml trial.seed=3")) == [
        *(
            "python",
            "-m",
            "mtsearch.train",
            "space=a.yaml",
            "data.root=DATA",
            "plugins=[p.py, lib]",
            "data.dataset=c.yaml",
            "trial.seed=3",
        )
    ]
    assert strip_local_paths(["space=pareto_cm"]) == ["space=pareto_cm"]
