"""Trials whose steps train one task at a time."""

import json
from functools import cache
from statistics import mean

import pytest
import torch
import torch.nn.functional as F

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.training import Trial

DATA = DataConfig(dataset="patches10_digits", limit=200)
SGD = {"name": "sgd", "lr": 0.05, "momentum": 0.9}


def config(schedule, **changes):
    base = {
        "architecture": "hps",
        "backbone": "cm",
        "batch_size": 64,
        "epochs": {"search": 0, "retrain": 2},
        "optimizer": SGD,
    }
    return TrialConfig.model_validate({**base, "task_schedule": schedule, **changes})


def timeless(reports):
    return [{k: v for k, v in report.items() if k != "cost/seconds"} for report in reports]


def test_zero_probability_task_is_never_trained():
    trial = Trial(config({"name": "coin", "probabilities": {"image": 1.0, "digit": 0.0}}), DATA)
    other = Trial(config({"name": "coin", "probabilities": {"image": 1.0, "digit": 0.0}}), DATA)
    before = [p.clone() for p in trial.model.heads["digit"].parameters()]
    next(trial)
    assert all(
        torch.equal(a, b)
        for a, b in zip(before, trial.model.heads["digit"].parameters(), strict=True)
    )
    model = other.model.train()
    optimizer = torch.optim.SGD(
        [*model.trunk.parameters(), *model.heads["image"].parameters()], lr=0.05, momentum=0.9
    )
    other._loader.start_epoch()
    for _ in range(4):
        ((_, (images, labels)),) = other._loader.next_batches((0,))
        optimizer.zero_grad()
        F.cross_entropy(model(images, ["image"])["image"], labels["image"]).backward()
        optimizer.step()
    for (name, ours), theirs in zip(
        trial.model.state_dict().items(), model.state_dict().values(), strict=True
    ):
        assert torch.allclose(ours, theirs, atol=1e-6), name


@pytest.mark.parametrize(
    ("schedule", "steps"),
    [
        ({"name": "sequential"}, [8, 16]),
        ({"name": "sequential", "drop_last": True}, [6, 12]),
        ({"name": "round_robin", "rounds": 3}, [6, 12]),
        ({"name": "categorical", "steps": 5}, [5, 10]),
        ({"name": "proportional", "steps": 5}, [5, 10]),
        ("joint", [4, 8]),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else None,
)
def test_epoch_has_the_steps_of_its_schedule(schedule, steps):
    assert [report["cost/steps"] for report in Trial(config(schedule), DATA)] == steps


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {
            "sparsity": {"mode": "target", "target": 0.5},
            "epochs": {"search": 1, "retrain": 1},
            "ema": 0.9,
        },
        {"batch_size": {"image": 64, "digit": 16}},
    ],
    ids=["dense", "sparse-ema", "batch-sizes"],
)
def test_restored_coin_trial_continues_bit_identically(changes, tmp_path):
    settings = config({"name": "coin", "order": "shuffled", "replay": "cached"}, **changes)
    whole = list(Trial(settings, DATA))
    trial = Trial(settings, DATA)
    for number in range(2):
        trial.save(tmp_path / "state")
        trial = Trial.restore(tmp_path / "state")
        assert timeless([next(trial)]) == timeless(whole[number : number + 1])


@pytest.mark.parametrize("name", ["sequential", "coin"])
def test_final_weights_depend_on_the_seed(name):
    """Invariants 12 of the MTLN and 4 of the alternating specification, bit for bit."""
    ends = []
    for seed in (0, 0, 1):
        trial = Trial(config(name, seed=seed, augment={"flip": True}), DATA)
        list(trial)
        ends.append(trial.model.state_dict())
    first, again, other = ends
    assert all(torch.equal(value, again[key]) for key, value in first.items())
    assert not any(
        torch.equal(value, other[key]) for key, value in first.items() if value.ndim == 4
    )


@pytest.fixture(scope="module")
def apart():
    """`apart(changes)` trains on two sets of 100 and 45 images, with coins of probability 1 unless
    `changes` override them, and returns the reports."""

    @cache
    def trained(text):
        plain = {
            "backbone": "cm",
            "batch_size": 50,
            "task_schedule": {"name": "coin", "probabilities": 1.0},
        }
        return list(
            Trial(
                config(**{"schedule": None, **plain, **json.loads(text)}),
                DataConfig(dataset="patches10_digits5", limit=100),
            )
        )

    return lambda changes: trained(json.dumps(changes))


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({"batch_size": 25}, [8, 16]),
        ({"lr_schedule": {"name": "step", "every": 1, "gamma": 0.1}}, [4, 8]),
        ({"task_schedule": {"name": "coin", "probabilities": {"image": 1.0, "item": 0.0}}}, [2, 4]),
        ({"task_schedule": {"name": "coin", "probabilities": 1.0, "rounds": 3}}, [6, 12]),
    ],
    ids=["batch-size", "schedule", "probabilities", "rounds"],
)
def test_every_schedule_setting_changes_the_training(apart, changes, steps):
    """Invariant 12 of the alternating specification, with coins of probability 1: two rounds per
    epoch, four steps."""
    before, after = apart({}), apart(changes)
    assert [report["cost/steps"] for report in before] == [4, 8] and [
        report["cost/steps"] for report in after
    ] == steps
    assert before[-1]["val/image/loss"] != after[-1]["val/image/loss"]
    if "lr_schedule" in changes:
        assert [report["lr"] for report in after] == pytest.approx([0.05, 0.005]) and before[-1][
            "lr"
        ] == 0.05
        assert before[0]["val/image/loss"] == after[0]["val/image/loss"]


def test_images_are_trained_at_the_configured_size():
    costs = []
    for size in (16, 24):
        trial = Trial(
            config("coin", epochs={"search": 0, "retrain": 1}),
            DataConfig(dataset="drawn_scenes_two", limit=40, size=size),
        )
        assert trial._loader.next_batches((0,))[0][1][0].shape[1:] == (3, size, size)
        costs.append(next(trial)["model/macs"])
    assert costs[0] < costs[1]


def test_unknown_dataset_is_refused_before_training():
    with pytest.raises(
        BadInput, match=r"unknown dataset `cifar10_fasion`\. Did you mean `cifar10_fashion`"
    ):
        Trial(config("coin"), DataConfig(dataset="cifar10_fasion"))


def test_sparsity_target_is_independent_of_step_count():
    settings = config(
        {"name": "coin", "rounds": 3},
        sparsity={"mode": "target", "target": 0.5, "applications": 4},
        epochs={"search": 2, "retrain": 1},
    )
    trial = Trial(settings, DATA)
    reports = list(trial)
    for name in trial.model.prunable:
        weight = trial.selected_model().get_submodule(name).weight
        zero = (weight.transpose(0, 1).flatten(1) == 0).all(1)
        assert zero.sum() == weight.shape[1] // 2
    assert reports[1]["model/sparsity_rate"] == pytest.approx(reports[2]["model/sparsity_rate"])


def test_a_task_may_choose_the_report():
    trial = Trial(config("joint", select="digit", epochs={"search": 0, "retrain": 3}), DATA)
    reports = list(trial)
    best = min(reports, key=lambda report: (report["val/digit/error"], report["report"]))
    assert trial.selected["report"] == best["report"]
    with pytest.raises(BadInput, match=r"`trial.select` should be best, last or a task"):
        Trial(config("joint", select="digits"), DATA)


def test_joint_balancing_refuses_single_task_steps():
    with pytest.raises(
        BadInput, match=r"`trial.balancing: chebyshev`.*`trial.task_schedule: coin`"
    ):
        Trial(config("coin", balancing="chebyshev"), DATA)


def test_empty_epoch_reports_same_lr_after_restore(tmp_path):
    settings = config(
        {"name": "coin", "rounds": 1, "probabilities": 0.3}, epochs={"search": 0, "retrain": 12}
    )
    whole = Trial(settings, DATA)
    reports = [next(whole)]
    while (
        reports[-1]["cost/steps"] == 0
        or len(reports) < 2
        or reports[-1]["cost/steps"] > reports[-2]["cost/steps"]
    ):
        whole.save(tmp_path / "before")
        reports.append(next(whole))
    assert reports[-1]["cost/steps"] == reports[-2]["cost/steps"] > 0, (
        "the last epoch should be without a step"
    )
    assert timeless([next(Trial.restore(tmp_path / "before"))]) == timeless(reports[-1:])


def test_keep_tasks_stores_best_weights_per_task(tmp_path):
    whole = Trial(
        config({"name": "coin", "rounds": 3}, keep="tasks", epochs={"search": 0, "retrain": 5}),
        DATA,
    )
    states, reports = [], []
    for report in whole:
        states.append({key: value.clone() for key, value in whole.model.state_dict().items()})
        reports.append(report)
    whole.save(tmp_path / "whole")
    trial = Trial(whole.config, DATA)
    for _ in reports:
        next(trial)
        trial.save(tmp_path / "state")
        trial = Trial.restore(tmp_path / "state")
    for kept in (whole, trial, Trial.restore(tmp_path / "whole")):
        for of in ("image", "digit", None):
            errors = [
                mean(
                    report[f"val/{task}/error"]
                    for task in (["image", "digit"] if of is None else [of])
                )
                for report in reports
            ]
            best = errors.index(min(errors))  # ties to the earliest, whatever the other task does
            assert kept.best(of)["report"] == best + 1
            weights = kept.selected_model(of).state_dict()
            assert all(torch.equal(value, states[best][key]) for key, value in weights.items())
    assert len({whole.best(of)["report"] for of in ("image", "digit")}) == 2, (
        "the tasks should differ for this test to tell anything"
    )


def test_best_of_task_is_refused_without_keep():
    trial = Trial(config("joint", epochs={"search": 0, "retrain": 1}), DATA)
    with pytest.raises(RuntimeError, match="selects one of its reports"):
        trial.selected_model()
    next(trial)
    with pytest.raises(BadInput, match=r"Set `trial.keep=tasks`"):
        trial.selected_model("image")
    with pytest.raises(
        BadInput, match=r"`of` should be a task.*Found `digits`. Did you mean `digit`"
    ):
        trial.selected_model("digits")


def test_shared_best_weights_are_written_once(tmp_path):
    sizes = {}
    for keep in ("row", "tasks"):
        trial = Trial(config("joint", keep=keep, epochs={"search": 0, "retrain": 1}), DATA)
        next(trial)
        trial.save(tmp_path / keep)
        sizes[keep] = (tmp_path / keep / "state.safetensors").stat().st_size
        weights = trial.selected_model().state_dict()
    assert sizes["tasks"] < 1.01 * sizes["row"]
    for of in ("image", "digit", None):
        found = Trial.restore(tmp_path / "tasks").selected_model(of).state_dict()
        assert all(torch.equal(value, weights[key]) for key, value in found.items())


def test_best_of_task_meets_the_sparsity_target():
    sparsity = {"mode": "target", "target": 0.5}
    trial = Trial(
        config("joint", keep="tasks", sparsity=sparsity, epochs={"search": 3, "retrain": 0}), DATA
    )
    reports = list(trial)
    assert reports[0]["model/sparsity_rate"] < reports[-1]["model/sparsity_rate"]
    assert {trial.best(of)["report"] for of in ("image", "digit", None)} == {3}
