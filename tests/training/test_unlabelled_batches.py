"""Steps whose batch lacks the labels of a task are balanced over the other tasks."""

import copy

import pytest
import torch
import torch.nn.functional as F

import tests.training.plain  # noqa: F401  (registers the backbone)
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.data import open_dataset
from mtsearch.training import Trial

DATA = DataConfig(dataset="patches10_digits", limit=400)
METHODS = [
    {"name": "mgda", "level": "feature"},
    {"name": "mgda", "level": "parameter"},
    {"name": "gls"},
    {"name": "famo"},
    {"name": "pcd", "level": "feature"},
    {"name": "upgrad", "level": "parameter"},
    {"name": "linear"},
]
IDS = ["-".join(settings.values()) for settings in METHODS]


def config(balancing):
    return TrialConfig.model_validate(
        {
            "balancing": balancing,
            "backbone": "plain",
            "batch_size": 8,
            "epochs": {"search": 0, "retrain": 1},
            "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.0},
        }
    )


@pytest.fixture
def few_digits(monkeypatch):
    """23 of 400 training images have a digit label; all have an image label."""

    def opened(data):
        dataset = open_dataset(data)
        train = dataset.splits["train"]
        digits = train.labels["digit"].clone()
        digits[torch.randperm(400, generator=torch.Generator().manual_seed(1))[23:]] = -1
        labels = {**train.labels, "digit": digits}
        splits = {**dataset.splits, "train": type(train)(train.images, labels)}
        return type(dataset)(**{**vars(dataset), "splits": splits})

    monkeypatch.setattr("mtsearch.training.checkpointed.open_dataset", opened)


def stepper_and_batch(trial, digits, images):
    """Return the stepper and a batch, with all labels removed of the tasks whose flag is false."""
    trial.model.train()
    trial._loader.start_epoch()
    ((members, (pictures, labels)),) = trial._loader.next_batches((0, 1))
    labels = {
        "image": labels["image"] if images else torch.full_like(labels["image"], -1),
        "digit": torch.zeros_like(labels["digit"])
        if digits
        else torch.full_like(labels["digit"], -1),
    }
    assert trial.tasks[0].name == "image"
    return trial._trainer._stepper, [(members, (pictures, labels))]


def weights(model):
    return {name: value.detach().clone() for name, value in model.named_parameters()}


@pytest.mark.parametrize("balancing", METHODS, ids=IDS)
def test_every_step_trains_shared_parameters(few_digits, balancing):
    trial = Trial(config(balancing), DATA)
    stepper, moved, without = trial._trainer._stepper, [], []
    inner = stepper.step

    def step(parts, penalty):
        before = [p.detach().clone() for p in trial.model.trunk.parameters()]
        sums, counts = inner(parts, penalty)
        after = trial.model.trunk.parameters()
        moved.append(any(not torch.equal(a, b) for a, b in zip(before, after, strict=True)))
        without.append(counts[1].item() == 0)
        return sums, counts

    stepper.step = step
    report = next(trial)
    assert len(moved) == 50 and 25 <= sum(without) <= 40
    assert all(moved)
    assert report["train/image/loss"] > 0 and report["train/digit/loss"] > 0


@pytest.mark.parametrize("balancing", METHODS[:6], ids=IDS[:6])
def test_one_labelled_task_trains_its_gradient(few_digits, balancing):
    trial = Trial(config(balancing), DATA)
    model = copy.deepcopy(trial.model).train()
    stepper, parts = stepper_and_batch(trial, digits=False, images=True)
    state = copy.deepcopy(trial._balancing.state_dict())
    sums, counts = stepper.step(parts, 0.0)
    (_, (pictures, labels)) = parts[0]
    loss = F.cross_entropy(model(pictures)["image"], labels["image"])
    loss.backward()
    assert counts.tolist() == [8, 0]
    assert sums.tolist() == pytest.approx([8 * loss.item(), 0])
    for (name, value), plain in zip(
        trial.model.named_parameters(), model.parameters(), strict=True
    ):
        step = 0 if plain.grad is None else 0.05 * plain.grad
        assert torch.allclose(value, plain - step, atol=1e-6), name
    if balancing["name"] in ("mgda", "upgrad", "gls", "pcd"):
        assert str(trial._balancing.state_dict()) == str(state)


@pytest.mark.parametrize("balancing", METHODS, ids=IDS)
def test_batch_without_labels_updates_nothing(few_digits, balancing):
    trial = Trial(config(balancing), DATA)
    stepper, parts = stepper_and_batch(trial, digits=False, images=False)
    before, state = weights(trial.model), str(trial._balancing.state_dict())
    sums, counts = stepper.step(parts, 0.0)
    assert sums.tolist() == [0, 0] and counts.tolist() == [0, 0]
    assert all(torch.equal(before[name], p) for name, p in trial.model.named_parameters())
    assert str(trial._balancing.state_dict()) == state
    assert stepper.state_dict()["steps"] == 0


@pytest.mark.parametrize("balancing", METHODS[:4], ids=IDS[:4])
def test_missing_labels_continue_bit_identically(few_digits, balancing, tmp_path):
    settings = config(balancing)
    settings = settings.model_copy(
        update={"epochs": settings.epochs.model_copy(update={"retrain": 2})}
    )
    whole = list(Trial(settings, DATA))
    trial = Trial(settings, DATA)
    next(trial)
    trial.save(tmp_path / "state")
    ((second),) = list(Trial.restore(tmp_path / "state"))
    assert {**second, "cost/seconds": 0} == {**whole[1], "cost/seconds": 0}


def test_complete_labels_are_recognised(few_digits, monkeypatch):
    assert not Trial(config("mgda"), DATA)._loader.complete
    monkeypatch.undo()
    assert Trial(config("mgda"), DATA)._loader.complete
