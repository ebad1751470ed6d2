"""A trial with a Pareto set: its steps, its points, its state and what it refuses."""

import math

import pytest
import torch

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.data import open_dataset
from mtsearch.training import Trial
from mtsearch.training.batch_statistics import measure_statistics_, statistics_batches
from mtsearch.training.checks import check_trial
from mtsearch.training.loaders import labelled_batches
from mtsearch.training.pareto_set import ParetoSetTrial

DATA = DataConfig(dataset="patches10_digits", limit=200)
THREE = DataConfig(dataset="patches10_sr_losses", limit=40)


def config(**changes):
    base = {
        "backbone": "cm",
        "batch_size": 64,
        "epochs": {"search": 1, "retrain": 1},
        "optimizer": {"name": "adamw", "lr": 0.003},
        "pareto_set": {"name": "weights_line", "points": 3, "statistics": 2},
    }
    return TrialConfig.model_validate({**base, **changes})


def timeless(reports):
    return [{k: v for k, v in report.items() if k != "cost/seconds"} for report in reports]


def trained(changes=(), data=DATA):
    trial = ParetoSetTrial(config(**dict(changes)), data)
    reports = list(trial)
    return trial, reports


CASES = {
    "linear": {},
    "average": {"ema": 0.9, "clip": 1.0, "lr_multipliers": {"heads": 0.5}},
    "momentum": {
        "optimizer": {"name": "sgd", "lr": 0.05},
        "task_schedule": {"name": "coin", "rounds": 4},
        "idle": "drift",
        "architecture": {"name": "hps", "norm": "task_affine"},
    },
    "gradients": {"balancing": {"name": "upgrad", "level": "feature"}, "architecture": "mtan"},
    "statistics": {"architecture": {"name": "hps", "norm": "task_statistics"}},
    "low_rank": {
        "pareto_set": {"name": "low_rank", "points": 3, "rank": 2},
        "lr_multipliers": {"trunk": 0.1},
        "ema": 0.9,
    },
    "conditioned": {
        "pareto_set": {"name": "conditioned", "points": 3, "statistics": 2},
        "balancing": "chebyshev",
    },
    "even": {
        "balancing": "smooth_chebyshev",
        "precision": "bfloat16",
        "pareto_set": {"name": "weights_line", "points": 2, "draw": "even"},
    },
}


FAST = ("linear", "average", "low_rank", "conditioned")  # the others are slow tests
NAMES = [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in CASES]


@pytest.mark.parametrize("name", NAMES)
def test_restored_set_continues_bit_identically(name, tmp_path):
    whole, reports = trained(CASES[name])
    trial = ParetoSetTrial(config(**CASES[name]), DATA)
    for number in range(2):
        trial.save(tmp_path / "state")
        trial = ParetoSetTrial.restore(tmp_path / "state")
        assert timeless([next(trial)]) == timeless(reports[number : number + 1])
    trial.save(tmp_path / "end")
    done = ParetoSetTrial.restore(tmp_path / "end")
    ours, theirs = list(done.points()), list(whole.points())
    assert [p.settings["preference"] for p in ours] == [p.settings["preference"] for p in theirs]
    assert timeless(p.metrics for p in ours) == timeless(p.metrics for p in theirs)


@pytest.mark.parametrize("case", ["two", "three", "conditioned"])
def test_point_is_a_plain_trial(case, tmp_path):
    data = THREE if case == "three" else DATA
    changes = {"backbone": "vdsr", "batch_size": 8} if case == "three" else CASES.get(case, {})
    trial, _ = trained(changes, data)
    tasks, points = [task.name for task in trial.tasks], list(trial.points())
    assert [sum(p.settings["preference"].values()) for p in points] == pytest.approx([1.0] * 3)
    vertices = [p for p in points if 1.0 in p.settings["preference"].values()]
    assert len(vertices) == len(tasks) if len(tasks) == 3 else len(vertices) == 2
    images = open_dataset(data).splits["val"].images[:8].float() / 255
    for point in points:
        point.save(tmp_path / "point")
        plain = Trial.restore(tmp_path / "point")
        assert plain.finished and plain.config.pareto_set is None
        assert plain.config.preference == point.settings["preference"]
        found = plain.evaluate("val")
        assert found == {k: v for k, v in point.metrics.items() if k.startswith("val/")}
        with torch.no_grad():
            ours = trial.selected_model(preference=point.settings["preference"])(images)
            theirs = plain.selected_model()(images)
        for task in tasks:
            assert torch.allclose(ours[task], theirs[task], atol=1e-6, rtol=0)


def test_point_costs_the_whole_trial():
    trial, reports = trained({"report_every": 2})
    for point in trial.points():
        for key in ("cost/seconds", "cost/steps", "cost/examples"):
            assert point.metrics[key] == reports[-1][key]


def test_report_has_the_network_of_equal_preference():
    trial, reports = trained({"select": "last"})
    (middle,) = [p for p in trial.points() if p.settings["preference"]["image"] == 0.5]
    assert {k: v for k, v in middle.metrics.items() if k.startswith("val/")} == {
        k: v for k, v in reports[-1].items() if k.startswith("val/")
    }
    assert trial.evaluate("val") == {k: v for k, v in reports[-1].items() if k.startswith("val/")}


def test_networks_differ_between_points():
    trial, _ = trained()
    losses = [p.metrics["val/image/loss"] for p in trial.points()]
    assert len(set(losses)) == 3 and all(math.isfinite(loss) for loss in losses)


def test_statistics_are_means_over_batches():
    dataset, device = open_dataset(DATA), torch.device("cpu")
    tasks = dataset.card.tasks
    model = Trial(config(pareto_set=None), DATA).model
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    seen = []
    handle = norms[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    parts = statistics_batches(dataset, tasks, device, batch_size=32, count=3, seed=0)
    measure_statistics_(model, parts, device)
    handle.remove()
    assert len(seen) == 3 and not model.training
    means = torch.stack([x.mean((0, 2, 3)) for x in seen]).mean(0)
    variances = torch.stack([x.var((0, 2, 3)) for x in seen]).mean(0)
    assert torch.allclose(norms[0].running_mean, means, atol=1e-6)
    assert torch.allclose(norms[0].running_var, variances, atol=1e-6)
    assert norms[0].momentum == 0.1


def test_statistics_leave_no_lone_image():
    dataset, device = open_dataset(DATA), torch.device("cpu")
    images = len(dataset.splits["train"])
    parts = statistics_batches(dataset, dataset.card.tasks, device, images - 1, 20, seed=0)
    assert [len(batch) for _, batches in parts for batch, _ in batches] == [images - 1]
    assert labelled_batches(dataset, dataset.splits["train"], dataset.card.tasks, device)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"preference": {"image": 0.5, "digit": 0.5}}, "preference"),
        ({"balancing": "mgda"}, "takes a preference"),
        ({"sparsity": {"mode": "target", "target": 0.5}}, "sparsity"),
        ({"architecture": {"name": "kdmtl", "teacher_epochs": 1}}, "without teachers"),
        ({"keep": "tasks"}, "keep"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        config(**changes)


def test_set_that_does_not_fit_the_data_is_refused():
    card = open_dataset(THREE).card
    few = {"name": "weights_line", "points": 2}
    with pytest.raises(BadInput, match=r"`trial.pareto_set.points` should be at least 3"):
        check_trial(config(backbone="vdsr", pareto_set=few), card)
    with pytest.raises(BadInput, match="without a state"):
        check_trial(config(balancing="chebyshev_al"), open_dataset(DATA).card)
    with pytest.raises(BadInput, match="at least 2 tasks"):
        check_trial(config(backbone="vdsr"), open_dataset(DataConfig(dataset="patches10_sr")).card)
