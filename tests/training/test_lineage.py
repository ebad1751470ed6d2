"""A trial that begins with the weights of another one: from its checkpoint and by training it."""

import pytest
import torch

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.data import open_dataset
from mtsearch.population import restore_trial
from mtsearch.training import Trial
from mtsearch.training.checks import check_trial
from mtsearch.training.lineage import ParentCheckpoint
from mtsearch.training.pareto_set import ParetoSetTrial
from tests.training.test_pareto_set import timeless

DATA = DataConfig(dataset="patches10_digits", limit=200)
PARENT = {
    "batch_size": 64,
    "epochs": {"search": 0, "retrain": 1},
    "optimizer": {"name": "adamw", "lr": 0.003},
}
SET = {"name": "weights_line", "points": 3, "statistics": 2}
FINE = {"optimizer": {"name": "adamw", "lr": 0.001}, "epochs": {"search": 0, "retrain": 2}}


def config(parent=PARENT, point=None, **changes):
    start = {"trial": "0000", "config": parent, "point": point}
    return TrialConfig.model_validate({**PARENT, **FINE, "start": start, **changes})


def make(settings):
    return (Trial if settings.pareto_set is None else ParetoSetTrial)(settings, DATA)


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    trial = Trial(TrialConfig.model_validate(PARENT), DATA)
    list(trial)
    folder = tmp_path_factory.mktemp("parent")
    trial.save(folder)
    return trial, folder


def test_child_begins_with_the_weights_of_its_parent(parent):
    child = Trial(config(optimizer={"name": "sgd", "lr": 1e-12}), DATA)
    next(child)
    trained = dict(child.model.named_parameters())
    for name, weight in parent[0].selected_model().named_parameters():
        torch.testing.assert_close(trained[name], weight, atol=1e-7, rtol=0)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"ema": 0.9, "sparsity": {"mode": "target", "target": 0.5}, "epochs": {"search": 1}},
        {"pareto_set": SET},
    ],
)
def test_checkpoint_and_training_of_the_parent_agree(parent, changes):
    one, other = make(config(**changes)), make(config(**changes))
    one.parent_checkpoint = ParentCheckpoint(parent[1])
    assert timeless(list(one)) == timeless(list(other))
    alone = make(config(**changes).model_copy(update={"start": None}))
    assert timeless(list(alone)) != timeless(one.reports)


def test_unfinished_parent_is_trained_again(parent, tmp_path):
    begun = Trial(TrialConfig.model_validate({**PARENT, "epochs": {"retrain": 2}}), DATA)
    next(begun)
    begun.save(tmp_path)
    one, other = make(config()), make(config())
    one.parent_checkpoint = ParentCheckpoint(tmp_path)
    other.parent_checkpoint = ParentCheckpoint(parent[1])
    assert next(one)["val/mean/error"] == next(other)["val/mean/error"]


def test_continued_child_equals_the_uninterrupted_one(parent, tmp_path):
    whole = make(config())
    reports = timeless(list(whole))
    child = make(config())
    next(child)
    child.save(tmp_path)
    again = restore_trial(tmp_path, DATA)
    assert timeless([*again.reports, *again]) == reports


def test_grandparent_is_trained_too():
    middle = {**PARENT, **FINE, "start": {"config": PARENT}}
    one = make(config(parent=middle))
    two = make(config(parent={**PARENT, **FINE}))
    assert timeless(list(one)) != timeless(list(two))


def test_point_of_a_set_is_a_parent(tmp_path):
    line = {**PARENT, "pareto_set": SET}
    trial = ParetoSetTrial(TrialConfig.model_validate(line), DATA)
    list(trial)
    list(trial.points())[2].save(tmp_path)
    one, other = make(config(line, 2)), make(config(line, 2))
    one.parent_checkpoint = ParentCheckpoint(tmp_path)
    assert timeless(list(one)) == timeless(list(other))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"architecture": "mdmtn"}, "network of the same shapes"),
        ({"backbone": "mm"}, "network of the same shapes"),
        ({"parent": {**PARENT, "pareto_set": SET}, "point": 3}, "less than 3"),
    ],
)
def test_other_shapes_are_refused(settings, said):
    dataset = open_dataset(DATA)
    with pytest.raises(BadInput, match=said):
        check_trial(config(**settings), dataset.card)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"parent": {**PARENT, "optimizer": {"name": "adamw", "lr": -1}}},
            "start.config.optimizer",
        ),
        ({"parent": {**PARENT, "pareto_set": SET}}, "should name a `point`"),
        ({"point": 1}, "should name a `point`"),
        ({"architecture": {"name": "kdmtl", "teacher_epochs": 1}}, "without teachers"),
    ],
)
def test_wrong_parents_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        config(**settings)
