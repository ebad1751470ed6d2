"""The train command, with a trial that computes nothing."""

import os
from pathlib import Path

import pytest

from mtsearch import run as run_module
from mtsearch.commands import train
from mtsearch.jobs.description import JobDescription
from mtsearch.runs.directory import RunDirectory
from mtsearch.runs.opening import create_run
from tests.helpers.fake import PLAN, FakeTrial, order
from tests.helpers.spaces import space


@pytest.fixture
def train_main(tmp_path, monkeypatch, capsys):
    """`train_main(words)` returns (exit code, run or None, stderr) of a fake training of 3 epochs,
    with batch size 1."""
    (tmp_path / "plan").mkdir()
    monkeypatch.setenv(PLAN, str(tmp_path / "plan"))
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.chdir(tmp_path)
    defaults = JobDescription.of_trial.__func__.__kwdefaults__
    monkeypatch.setitem(defaults, "trial_class", "tests.helpers.fake:FakeTrial")
    (tmp_path / "toy.yaml").write_text(space("results").to_yaml())

    def call(*words):
        asked = [] if any(word.startswith("test=") for word in words) else ["test=true"]
        place = [] if words and words[0].startswith("resume=") else ["space=toy.yaml"]
        code = train.main([*place, *words, *asked])
        shown = capsys.readouterr()
        last = shown.out.splitlines()[-1] if shown.out else ""
        return (
            code,
            RunDirectory(last.removeprefix("run: ")) if last.startswith("run: ") else None,
            shown.err,
        )

    return call


def test_a_training_is_a_run_of_one_trial(train_main):
    code, run, err = train_main("trial.threads=2")
    assert code == 0 and err == ""
    (row,) = run.rows()
    assert (row["trial"], row["kind"], row["state"]) == (
        "0000",
        "search",
        "done",
    ) and "test/image/error" in row
    assert os.environ["OMP_NUM_THREADS"] == "2"
    assert (run.path / "report.html").exists()


def test_test_split_is_read_when_asked(train_main):
    _, run, _ = train_main("test=false")
    assert "test/image/error" not in run.rows()[0]
    code, run, _ = train_main(f"resume={run.path}")
    assert code == 0
    assert "test/image/error" in run.rows()[0]
    code, _, err = train_main("test=maybe")
    assert code == 2
    assert "`test` should be true or false. Found `maybe`." in err


def test_a_control_trained_alone_is_a_control(train_main):
    code, run, _ = train_main("control=stl")
    (row,) = run.rows()
    assert code == 0 and (row["trial"], row["kind"], row["control"]) == ("stl", "control", "stl")


def test_an_exception_is_the_reason_of_the_trial(train_main):
    order("raise", 1, 2)
    code, run, err = train_main()
    (row,) = run.rows()
    assert (
        code == 1
        and err
        == "mtsearch.train: the training failed: ValueError: the trial was ordered to raise\n"
    )
    assert (row["state"], row["reason"], row["epoch"]) == (
        "failed",
        "ValueError: the trial was ordered to raise",
        1,
    )
    assert (run.path / "trials.parquet").exists()


def test_a_test_that_fails_leaves_the_trained_trial(train_main):
    order("raise", 1, 99)
    code, run, err = train_main()
    assert code == 1 and "the test failed" in err and run.rows()[0]["state"] == "done"
    (Path(os.environ[PLAN]) / "raise-1-99").unlink()
    code, run, _ = train_main(f"resume={run.path}")
    assert code == 0 and "test/image/error" in run.rows()[0]


def figures(run):
    """Reports, the row and the test, but for which process it was and how often it began."""
    reports = [
        {key: value for key, value in report.items() if key != "process"}
        for report in run.history()
    ]
    return reports, [
        {key: value for key, value in row.items() if key not in ("process", "attempts", "command")}
        for row in run.rows()
    ]


@pytest.mark.parametrize("resumed", [train.main, run_module.main])
@pytest.mark.parametrize("report", [1, 2])
def test_a_resumed_training_gives_the_same_numbers(train_main, capsys, report, resumed):
    _, whole, _ = train_main("test=false", "trial.seed=4")
    order("interrupt", 1, report, os.getpid())
    code = train.main(["space=toy.yaml", "trial.seed=4"])
    out = capsys.readouterr().out.splitlines()
    run = RunDirectory(out[-1].removeprefix("run: "))
    assert (
        code == 130
        and out[-2]
        == "interrupted; everything finished is kept. Continue with: python -m mtsearch.train"
        f" resume={run.path}"
    )
    assert (run.path / "trials.parquet").exists() and len(run.history()) == report - 1
    assert resumed([f"resume={run.path}"]) == 0
    out = capsys.readouterr().out
    assert f"run: {run.path}" in out and ("continues after report 1" in out) == (report == 2)
    assert figures(run) == figures(whole) and run.rows()[0]["attempts"] == 2


def test_a_training_resumes_after_any_event(train_main):
    _, whole, _ = train_main("trial.seed=4")
    lines = whole.events_path.read_text().splitlines()
    expected = figures(whole)
    for kept in range(
        1, len(lines) + 1
    ):  # from the run's first line on, the state on disk being the newest
        whole.events_path.write_text("\n".join(lines[:kept]) + "\n")
        code, run, err = train_main(f"resume={whole.path}")
        assert code == 0 and err == "" and figures(run) == expected
        events = [event["event"] for event in run.events()]
        assert events.count("end") == events.count("test") == 1


def test_a_finished_training_is_not_resumed(train_main):
    _, run, _ = train_main()
    before = run.events_path.read_bytes()
    assert train_main(f"resume={run.path}")[0] == 0 and run.events_path.read_bytes() == before
    order("raise", 1, 2)
    _, run, _ = train_main("trial.seed=4")
    code, _, err = train_main(f"resume={run.path}")
    assert (
        code == 2
        and "has failed: ValueError: the trial was ordered to raise." in err
        and "Train it again: python -m mtsearch.train" in err
    )


def test_a_full_disk_stops_a_training(train_main, capsys, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device", "there")

    monkeypatch.setattr(FakeTrial, "save", full)
    assert train.main(["space=toy.yaml"]) == 1
    shown = capsys.readouterr()
    assert (
        "stopped: the state of a trial cannot be written to there (No space left on device)."
        in shown.out
    )
    assert "continue with: python -m mtsearch.train resume=" in shown.out


def test_a_resume_refuses_other_keys(train_main, tmp_path):
    _, run, _ = train_main()
    for word in ("trial.seed=3", "search.trials=9", "space=toy.yaml"):
        code, _, err = train_main(f"resume={run.path}", word)
        assert (
            code == 2
            and f"`{word.partition('=')[0]}` does not go with `resume`" in err
            and err.count("\n") == 1
        )
    made = create_run(space(tmp_path), {"dataset": "sample", "checksum": "abc"}, name="toy")
    code, _, err = train_main(f"resume={made.path}")
    assert (
        code == 2
        and f"contains a search. Continue it: python -m mtsearch.run resume={made.path}" in err
    )


def test_untrainable_configurations_are_refused_early(train_main, tmp_path):
    for word in (
        "trial.device=cuda",
        "trial.backbone={name: torchvision, model: resnet19}",
        "data.root=nowhere",
        "trial.select=picture",
        "trial.task_schedule={name: coin, probabilities: {picture: 0.5, digit: 0.5}}",
    ):
        code, run, err = train_main(word)
        assert code == 2 and run is None and err.count("\n") == 1
    assert not (tmp_path / "results").exists()
    (tmp_path / "file").write_text("")
    code, run, err = train_main("results.root=file")
    assert code == 2 and "`results.root`" in err


def test_a_training_ignores_other_controls(train_main, capsys):
    code, run, _ = train_main("trial.balancing=upgrad")  # which the control `stl` could not take
    assert (
        code == 0
        and run.config.controls == {}
        and run.rows()[0]["trial.balancing.name"] == "upgrad"
    )
    code, _, err = train_main("trial.balancing=upgrad", "control=stl")
    assert code == 2 and "`controls.stl.balancing` should be a loss method" in err
    assert run_module.main(["space=toy.yaml", "trial.balancing=upgrad", "--dry-run"]) == 2
    assert "leave it out with `controls.stl=null`" in capsys.readouterr().err
    assert (
        run_module.main(
            ["space=toy.yaml", "trial.balancing=upgrad", "controls.stl=null", "--dry-run"]
        )
        == 0
    )


def test_a_resume_refuses_invalid_yaml(tmp_path, capsys):
    made = create_run(space(tmp_path), {"dataset": "sample", "checksum": "abc"}, name="toy")
    assert run_module.main([f"resume={made.path}", "search.trials=["]) == 2
    shown = capsys.readouterr()
    assert shown.err.count("\n") == 1 and "`search.trials` is not valid YAML" in shown.err


def test_a_cluster_that_does_not_answer_is_refused(tmp_path, monkeypatch, capsys):
    import ray

    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    monkeypatch.setattr(
        ray, "is_initialized", lambda: False
    )  # other tests of this process may have a cluster
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    assert run_module.main(["space=pareto_cm", f"results.root={tmp_path}"]) == 2
    shown = capsys.readouterr()
    assert (
        shown.err.count("\n") == 1
        and "`RAY_ADDRESS=127.0.0.1:1` names cannot be joined" in shown.err
    )
    assert not list(tmp_path.glob("pareto_cm/*"))
