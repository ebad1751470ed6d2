"""The door of a single training, with a trial that computes nothing."""

import os

import pytest

from mtsearch import population, train
from mtsearch import run as run_door
from mtsearch.tuning.rundir import RunDirectory
from tests.tuning.fake import PLAN, FakeTrial, order
from tests.tuning.spaces import space


@pytest.fixture
def door(tmp_path, monkeypatch, capsys):
    """`door(words)` returns (exit code, run or None, stderr) of a fake training of 3 epochs, with batch size 1."""
    (tmp_path / "plan").mkdir()
    monkeypatch.setenv(PLAN, str(tmp_path / "plan"))
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(FakeTrial, "total_epochs", 3, raising=False)
    monkeypatch.setattr(FakeTrial, "__iter__", lambda self: iter(lambda: None if self.finished else next(self), None), raising=False)
    monkeypatch.setattr(population, "open_trial", FakeTrial)
    (tmp_path / "toy.yaml").write_text(space("results").to_yaml())

    def call(*words):
        code = train.main(["space=toy.yaml", *words])
        shown = capsys.readouterr()
        last = shown.out.splitlines()[-1] if shown.out else ""
        return code, RunDirectory(last.removeprefix("run: ")) if last.startswith("run: ") else None, shown.err

    return call


def test_a_training_is_a_run_of_one_trial_with_its_threads(door):
    code, run, err = door("trial.threads=2")
    assert code == 0 and err == ""
    (row,) = run.rows()
    assert (row["trial"], row["kind"], row["state"]) == ("0000", "search", "done") and "test/image/error" in row
    assert os.environ["OMP_NUM_THREADS"] == "2"
    assert (run.path / "report.html").exists()


def test_a_control_trained_alone_is_a_control(door):
    code, run, _ = door("control=stl")
    (row,) = run.rows()
    assert code == 0 and (row["trial"], row["kind"], row["control"]) == ("stl", "control", "stl")


def test_whatever_a_training_raises_is_its_reason_and_the_tables_are_written(door):
    order("raise", 1, 2)
    code, run, err = door()
    (row,) = run.rows()
    assert code == 1 and err == "mtsearch.train: the training failed: ValueError: the trial was told to raise\n"
    assert (row["state"], row["reason"], row["epoch"]) == ("failed", "ValueError: the trial was told to raise", 1)
    assert (run.path / "trials.parquet").exists()


def test_a_test_that_fails_leaves_the_trained_trial(door):
    order("raise", 1, 99)
    code, run, err = door()
    assert code == 1 and "the test failed" in err and run.rows()[0]["state"] == "done"


def test_a_single_training_is_not_resumed_and_says_how_to_train_again(door, capsys):
    _, run, _ = door("trial.seed=4")
    assert run_door.main([f"resume={run.path}"]) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.count("\n") == 1
    assert f"not resumed. Train it again: {run.rows()[0]['command']}" in shown.err


def test_what_cannot_be_trained_is_refused_before_a_directory_is_made(door, tmp_path):
    for word in (
        "trial.device=cuda",
        "trial.backbone={name: torchvision, model: resnet19}",
        "data.root=nowhere",
        "trial.select=picture",
        "trial.task_schedule={name: coin, probabilities: {picture: 0.5, digit: 0.5}}",
    ):
        code, run, err = door(word)
        assert code == 2 and run is None and err.count("\n") == 1
    assert not (tmp_path / "results").exists()
    (tmp_path / "file").write_text("")
    code, run, err = door("results.root=file")
    assert code == 2 and "`results.root`" in err


def test_a_training_minds_no_control_that_it_does_not_train(door, capsys):
    code, run, _ = door("trial.balancing=upgrad")  # which the control `stl` could not take
    assert code == 0 and run.config.controls == {} and run.rows()[0]["trial.balancing.name"] == "upgrad"
    code, _, err = door("trial.balancing=upgrad", "control=stl")
    assert code == 2 and "`controls.stl.balancing` should be a loss method" in err
    assert run_door.main(["space=toy.yaml", "trial.balancing=upgrad", "--dry-run"]) == 2
    assert "leave it out with `controls.stl=null`" in capsys.readouterr().err
    assert run_door.main(["space=toy.yaml", "trial.balancing=upgrad", "controls.stl=null", "--dry-run"]) == 0


def test_a_resume_answers_what_is_no_yaml_in_a_sentence(tmp_path, capsys):
    made = RunDirectory.create(space(tmp_path), {"dataset": "sample", "checksum": "abc"}, name="toy")
    assert run_door.main([f"resume={made.path}", "search.trials=["]) == 2
    shown = capsys.readouterr()
    assert shown.err.count("\n") == 1 and "`search.trials` is no valid YAML" in shown.err


def test_a_cluster_that_does_not_answer_is_refused(tmp_path, monkeypatch, capsys):
    import ray

    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)  # other tests of this process may have a cluster
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    assert run_door.main(["space=pareto_cm", f"results.root={tmp_path}"]) == 2
    shown = capsys.readouterr()
    assert shown.err.count("\n") == 1 and "`RAY_ADDRESS=127.0.0.1:1` names cannot be joined" in shown.err
    assert not list(tmp_path.glob("pareto_cm/*"))
