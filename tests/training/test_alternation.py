"""Trials whose steps train one task at a time."""

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
    base = {"architecture": "hps", "backbone": "cm", "batch_size": 64, "epochs": {"search": 0, "retrain": 2}, "optimizer": SGD}
    return TrialConfig.model_validate({**base, "task_schedule": schedule, **changes})


def timeless(reports):
    return [{k: v for k, v in report.items() if k != "cost/seconds"} for report in reports]


def test_an_impossible_coin_leaves_its_head_as_it_was_and_the_run_is_single_task_training():
    trial = Trial(config({"name": "coin", "probabilities": {"image": 1.0, "digit": 0.0}}), DATA)
    twin = Trial(config({"name": "coin", "probabilities": {"image": 1.0, "digit": 0.0}}), DATA)
    before = [p.clone() for p in trial.model.heads["digit"].parameters()]
    next(trial)
    assert all(torch.equal(a, b) for a, b in zip(before, trial.model.heads["digit"].parameters(), strict=True))
    model = twin.model.train()
    optimizer = torch.optim.SGD([*model.trunk.parameters(), *model.heads["image"].parameters()], lr=0.05, momentum=0.9)
    twin._streams.begin()
    for _ in range(4):
        ((_, (images, labels)),) = twin._streams.next((0,))
        optimizer.zero_grad()
        F.cross_entropy(model(images, ["image"])["image"], labels["image"]).backward()
        optimizer.step()
    for (name, ours), theirs in zip(trial.model.state_dict().items(), model.state_dict().values(), strict=True):
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
def test_an_epoch_has_the_steps_that_its_schedule_says(schedule, steps):
    assert [report["cost/steps"] for report in Trial(config(schedule), DATA)] == steps


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"sparsity": {"mode": "target", "target": 0.5}, "epochs": {"search": 1, "retrain": 1}, "ema": 0.9},
        {"batch_size": {"image": 64, "digit": 16}},
    ],
    ids=["dense", "sparse-ema", "batch-sizes"],
)
def test_a_trial_by_coins_restored_after_any_report_continues_bit_identically(changes, tmp_path):
    settings = config({"name": "coin", "order": "shuffled", "replay": "cached"}, **changes)
    whole = list(Trial(settings, DATA))
    trial = Trial(settings, DATA)
    for number in range(2):
        trial.save(tmp_path / "state")
        trial = Trial.restore(tmp_path / "state")
        assert timeless([next(trial)]) == timeless(whole[number : number + 1])


def test_sparsity_reaches_its_target_whatever_the_number_of_steps():
    settings = config(
        {"name": "coin", "rounds": 3}, sparsity={"mode": "target", "target": 0.5, "applications": 4}, epochs={"search": 2, "retrain": 1}
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


def test_a_method_that_needs_all_losses_refuses_single_task_steps():
    with pytest.raises(BadInput, match=r"`trial.balancing` is chebyshev.*`trial.task_schedule` is coin"):
        Trial(config("coin", balancing="chebyshev"), DATA)


def test_every_task_keeps_its_own_best_weights_beside_the_selected_ones(tmp_path):
    whole = Trial(config({"name": "coin", "rounds": 3}, keep="tasks", epochs={"search": 0, "retrain": 5}), DATA)
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
            errors = [mean(report[f"val/{task}/error"] for task in (["image", "digit"] if of is None else [of])) for report in reports]
            best = errors.index(min(errors))  # ties to the earliest, whatever the other task does
            assert kept.best(of)["report"] == best + 1
            weights = kept.selected_model(of).state_dict()
            assert all(torch.equal(value, states[best][key]) for key, value in weights.items())
    assert len({whole.best(of)["report"] for of in ("image", "digit")}) == 2, "the tasks should differ for this test to tell anything"


def test_a_trial_that_keeps_no_best_of_its_tasks_says_so():
    trial = Trial(config("joint", epochs={"search": 0, "retrain": 1}), DATA)
    with pytest.raises(RuntimeError, match="should have made a report"):
        trial.selected_model()
    next(trial)
    with pytest.raises(BadInput, match=r"Set `trial.keep=tasks`"):
        trial.selected_model("image")
    with pytest.raises(BadInput, match=r"`of` should be a task.*Found `digits`. Did you mean `digit`"):
        trial.selected_model("digits")


def test_weights_that_are_the_best_of_several_tasks_are_written_once(tmp_path):
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


def test_no_tasks_best_is_less_sparse_than_the_target():
    sparsity = {"mode": "target", "target": 0.5}
    trial = Trial(config("joint", keep="tasks", sparsity=sparsity, epochs={"search": 3, "retrain": 0}), DATA)
    reports = list(trial)
    assert reports[0]["model/sparsity_rate"] < reports[-1]["model/sparsity_rate"]
    assert {trial.best(of)["report"] for of in ("image", "digit", None)} == {3}
