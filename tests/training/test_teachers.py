"""Distillation trials: the teachers are trained first and are not part of the result."""

import pytest
import torch

from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.training import Trial

DATA = DataConfig(dataset="patches10_digits", limit=200)


def config(teacher_epochs=2, weight=0.5, **changes):
    student = {"name": "kdmtl", "teacher_epochs": teacher_epochs, "weight": weight}
    base = {
        "architecture": student,
        "backbone": "cm",
        "batch_size": 64,
        "epochs": {"search": 0, "retrain": 2},
    }
    return TrialConfig.model_validate({**base, **changes})


def timeless(reports):
    return [{k: v for k, v in report.items() if k != "cost/seconds"} for report in reports]


@pytest.mark.parametrize(
    "changes",
    [
        {"preference": {"image": 0.7, "digit": 0.3}, "ema": 0.9},
        {
            "sparsity": {"mode": "target", "target": 0.5},
            "epochs": {"search": 1, "retrain": 1},
            "task_schedule": "round_robin",
        },
    ],
    ids=["dense-ema", "sparse-alternating"],
)
def test_restored_distillation_trial_continues_bit_identically(changes, tmp_path):
    whole = list(Trial(config(**changes), DATA))
    assert [report["phase"] for report in whole][:2] == ["teach", "teach"] and len(whole) == 4
    trial = Trial(config(**changes), DATA)
    for number in range(4):
        trial.save(tmp_path / "state")
        trial = Trial.restore(tmp_path / "state")
        assert timeless([next(trial)]) == timeless(whole[number : number + 1])


def test_teachers_equal_a_single_task_trial():
    student = Trial(config(), DATA)
    reports = list(student)
    alone = Trial(config(architecture="stl"), DATA)
    figures = [{k: v for k, v in report.items() if k.startswith("val/")} for report in alone]
    best = {k: v for k, v in alone.selected.items() if k.startswith("val/")}
    told = [
        {k.replace("teacher/", "val/"): v for k, v in r.items() if k.startswith("teacher/")}
        for r in reports
    ]
    assert told[0] == figures[0] and told[1] == told[2] == told[3] == best
    assert {report["model/params"] for report in reports} == {44_852}
    assert {report["model/macs"] for report in reports} == {
        Trial(config(architecture="hps"), DATA).__next__()["model/macs"]
    }
    assert [report["epoch"] for report in reports] == [1, 2, 3, 4]
    assert [report["cost/steps"] for report in reports] == [4, 8, 12, 16]


def test_student_starts_unchanged_after_the_teach_phase():
    trial = Trial(config(), DATA)
    before = {key: value.clone() for key, value in trial.model.state_dict().items()}
    next(trial), next(trial)
    assert all(torch.equal(value, before[key]) for key, value in trial.model.state_dict().items())
    hps = Trial(config(architecture="hps"), DATA)
    untaught = list(Trial(config(weight=0.0), DATA))[2:]
    for ours, theirs in zip(untaught, hps, strict=True):
        assert {k: v for k, v in ours.items() if k.startswith(("val/", "train/"))} == {
            k: v for k, v in theirs.items() if k.startswith(("val/", "train/"))
        }
    assert next(trial)["val/image/loss"] != untaught[0]["val/image/loss"]


def test_a_finished_trial_keeps_no_teacher(tmp_path):
    trial = Trial(config(), DATA)
    next(trial)
    assert trial.state_dict()["live"]["teachers"] is not None
    list(trial)
    trial.save(tmp_path / "state")
    assert (tmp_path / "state" / "state.safetensors").stat().st_size < 1.05 * 4 * (
        44_852 + 2 * (16 + 32)
    )
    assert Trial.restore(tmp_path / "state").evaluate("val") == {
        k: v for k, v in trial.selected.items() if k.startswith("val/")
    }


def test_teachers_inherit_lr_multipliers_of_common_parts():
    trial = Trial(config(lr_multipliers={"trunk": 0.5, "adaptors": 2.0}), DATA)
    assert [next(trial)["phase"] for _ in range(3)] == ["teach", "teach", "train"]
    assert trial._teachers.config.lr_multipliers == {"trunks": 0.5}
