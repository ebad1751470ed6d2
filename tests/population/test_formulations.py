"""Splits and derivation of tasks. Invariants are numbered as in the specification."""

import math
from dataclasses import fields

import pytest
import torch

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import MTOConfig
from mtsearch.population import tasks
from mtsearch.population.formulations import build_formulation
from mtsearch.population.splits import overlap, split_indices
from mtsearch.population.tasks import build_tasks
from tests.population.tiny import DATA, config, dataset, equal, population, states, timeless

ALL = [
    {"name": "seed"},
    {"name": "holdout"},
    {"name": "bootstrap"},
    {"name": "mixup_in_class", "factor": 2.0},
    {"name": "kfold", "folds": 3},
    {"name": "kfold", "folds": 3, "train": "fold"},
    {"name": "class_subset", "classes": 2},
    {"name": "dataset", "datasets": ["other"]},
    {"name": "optimizer"},
    {"name": "hyperparameters"},
    {"name": "loss", "losses": ["margin", "cross_entropy"]},
]
ids = [f"{f['name']}-{f['train']}" if "train" in f else f["name"] for f in ALL]


def built(count=4, **changes):
    if changes.get("formulation", {}).get("name") == "optimizer":
        changes.setdefault("optimiser_state", "reset")
    return build_tasks(config(tasks=count, **changes), DATA, dataset())


def indices(task):
    return [set(part.tolist()) for part in (task.train, task.hold_out, task.select)]


def same(a, b):
    def value(x):
        return (
            (x.images, x.labels)
            if hasattr(x, "images")
            else x.checksum
            if hasattr(x, "checksum")
            else x
        )

    return all(
        (
            equal(value(getattr(a, f.name)), value(getattr(b, f.name)))
            if not isinstance(value(getattr(a, f.name)), tuple)
            else all(
                equal(x, y)
                for x, y in zip(value(getattr(a, f.name)), value(getattr(b, f.name)), strict=True)
            )
        )
        for f in fields(a)
    )


@pytest.mark.parametrize("policy", ["independent", "shared", "shared_select"])
def test_splits_are_disjoint_complete_and_sized(policy):
    """Invariant 12."""
    settings = MTOConfig(tasks=4, group_size=2, holdout_fraction=0.15, validation_policy=policy)
    parts = [split_indices(123, settings, 0, key) for key in range(4)]
    size = math.floor(0.15 * 123)
    for train, hold_out, select in parts:
        assert (len(hold_out), len(select)) == (size, size if policy == "shared_select" else 0)
        assert torch.equal(torch.cat([train, hold_out, select]).sort().values, torch.arange(123))
    alike = all(torch.equal(part.hold_out, parts[0].hold_out) for part in parts[1:])
    assert alike == (policy != "independent")


def test_hold_out_overlap_by_validation_policy():
    """Invariant 12: the overlap is 0, or about 1 - fraction."""
    for name in ("holdout", "bootstrap", "mixup_in_class", "kfold"):
        trial = population(tasks=4, formulation={"name": name})
        assert next(trial)["population/overlap"] == 0
    assert next(population(tasks=4, validation_policy="independent", holdout_fraction=0.1))[
        "population/overlap"
    ] == pytest.approx(0.9, abs=0.06)
    assert next(population(tasks=1, group_size=1))["population/overlap"] == 0
    settings = MTOConfig(
        tasks=6, group_size=2, holdout_fraction=0.1, validation_policy="independent"
    )
    parts = [split_indices(2800, settings, 0, key) for key in range(6)]
    found = overlap(
        [set(p.hold_out.tolist()) for p in parts], [set(p.train.tolist()) for p in parts]
    )
    assert found == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize("formulation", ALL, ids=ids)
@pytest.mark.parametrize("policy", ["shared", "shared_select"])
def test_shared_hold_out_is_never_trained_on(formulation, policy):
    """Invariant 12, for every pair of tasks that have the target's images."""
    found = [
        task
        for task in built(6, formulation=formulation, validation_policy=policy)
        if task.dataset.card.name == "tiny"
    ]
    for judged in found:
        _, hold_out, select = indices(judged)
        assert hold_out and bool(select) == (policy == "shared_select")
        assert not any((hold_out | select) & trained.seen for trained in found)


@pytest.mark.parametrize("formulation", ALL, ids=ids)
@pytest.mark.parametrize("policy", ["independent", "shared_select"])
def test_tasks_exclude_validation_and_test_images(formulation, policy):
    """Invariant 12."""
    for task in built(6, formulation=formulation, validation_policy=policy):
        ends = {
            image.numpy().tobytes()
            for side in ("val", "test")
            for image in task.dataset.splits[side].images
        }
        mine = {
            image.numpy().tobytes()
            for part in (task.train, task.hold_out, task.select)
            for image in task.split.images[part]
        }
        assert mine and len(ends) == 80 and not mine & ends


@pytest.mark.parametrize(
    "formulation",
    [{"name": name} for name in ("holdout", "bootstrap", "hyperparameters")],
    ids=lambda f: f["name"],
)
def test_task_is_independent_of_population_size(formulation):
    """Invariant 13: initial states and batches, and all later states while no visitor is
    accepted."""
    few, many = (
        population(tasks=count, formulation=formulation, accept="never") for count in (2, 6)
    )
    assert all(equal(states(few)[i], states(many)[i]) for i in range(2))
    for i in range(2):
        for step in range(14):
            one, other = (trial._source.batch(trial._tasks[i], step, 0) for trial in (few, many))
            assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])
    list(few), list(many)
    assert all(equal(states(few)[i], states(many)[i]) for i in range(2))


@pytest.mark.parametrize("formulation", ALL, ids=ids)
@pytest.mark.parametrize("policy", ["independent", "shared_select"])
def test_formulations_keep_their_invariants(formulation, policy):
    """The target does not change, no task trains on hold-out images, and a task does not depend on
    the number of tasks."""
    found = built(6, formulation=formulation, validation_policy=policy)
    other = "seed" if formulation["name"] == "seed" else "holdout"
    plain = built(6, formulation={"name": other}, validation_policy=policy)
    assert same(found[0], plain[0])
    for task in found:
        train, hold_out, select = indices(task)
        assert train and hold_out and not (train & hold_out or train & select or hold_out & select)
        assert not task.seen & hold_out or task.dataset.card.name != "tiny"
    fewer = built(2, formulation=formulation, validation_policy=policy)
    assert all(same(a, b) for a, b in zip(fewer, found, strict=False))  # invariant 13


@pytest.mark.parametrize("formulation", ALL, ids=ids)
def test_every_formulation_trains(formulation):
    changes = {"optimiser_state": "reset"} if formulation["name"] == "optimizer" else {}
    trial = population(tasks=3, formulation=formulation, accept="always", budget=2 * 24, **changes)
    reports = list(trial)
    assert reports[-1]["population/accepted"] == 6 and math.isfinite(reports[-1]["val/scene/loss"])


def test_holdout_leaves_another_part_to_each_task():
    own = built(3, validation_policy="independent")
    assert len({frozenset(task.hold_out.tolist()) for task in own}) == 3
    shared = built(3)
    assert [len(task.train) for task in shared] == [96, 77, 77]
    assert indices(shared[1])[0] != indices(shared[2])[0]


def test_bootstrap_draws_as_many_with_replacement():
    target, one, two = built(3, formulation={"name": "bootstrap"})
    assert len(one.train) == len(target.train) == 96 and 40 < len(set(one.train.tolist())) < 80
    assert not torch.equal(one.train, two.train)


def test_mixtures_are_of_two_images_of_one_class():
    target, task, _ = built(3, formulation={"name": "mixup_in_class", "factor": 3.0})
    counts = torch.bincount(target.split.labels["scene"][target.train])
    added = sum(int(2 * n / 3) for n in counts.tolist())
    assert len(task.train) == 96 // 3 + added and len(task.split) == 120 + added
    images, labels = target.split.images.float(), target.split.labels["scene"]
    for place in range(120, len(task.split), 9):
        members = target.train[labels[target.train] == task.split.labels["scene"][place]]
        mixed = task.split.images[place].float()
        low, high = images[members].amin(0), images[members].amax(0)
        assert bool(((mixed >= low) & (mixed <= high)).all())
    assert task.seen <= set(target.train.tolist())


def test_folds_are_equal_parts_of_one_permutation():
    target, *aux = built(4, formulation={"name": "kfold", "folds": 3, "train": "fold"})
    folds = [indices(task)[0] for task in aux]
    assert (
        not folds[0] & folds[1]
        and not folds[1] & folds[2]
        and folds[0] | folds[1] | folds[2] == set(target.train.tolist())
    )
    rest = built(4, formulation={"name": "kfold", "folds": 3})[1:]
    assert all(
        indices(task)[0] == set(target.train.tolist()) - fold
        for task, fold in zip(rest, folds, strict=True)
    )


def test_classes_are_renumbered_for_the_subset():
    task = built(2, formulation={"name": "class_subset", "classes": 2})[1]
    assert task.card.outputs == 2 and len(task.card.classes) == 2
    trial = population(formulation={"name": "class_subset", "classes": 2})
    images, labels = trial._source.batch(trial._tasks[1], 0, 0)
    assert len(images) == len(labels) and set(labels.tolist()) <= {0, 1}
    with pytest.raises(BadInput, match=r"should be below the target's 3 classes\. Found 3"):
        built(2, formulation={"name": "class_subset", "classes": 3})


def test_other_datasets_use_their_own_labels():
    target, one, two = built(3, formulation={"name": "dataset", "datasets": ["other", "tiny"]})
    assert (one.card.name, one.card.outputs, one.label) == ("scene", 2, "kind")
    assert (two.card, two.label) == (target.card, "scene")
    with pytest.raises(
        BadInput,
        match=r"datasets\[0\]` should name a task of other as `other/TASK`. Found `other/scenes`",
    ):
        built(2, formulation={"name": "dataset", "datasets": ["other/scenes"]})


def test_other_optimisers_keep_learning_rate_and_decay():
    found = built(
        16,
        formulation={"name": "optimizer"},
        trial__optimizer={"name": "sgd", "lr": 0.02, "weight_decay": 0.01},
    )
    assert {task.optimizer.name for task in found[1:]} == {"sgd", "adam", "adagrad", "adadelta"}
    assert {(task.optimizer.lr, task.optimizer.weight_decay) for task in found} == {(0.02, 0.01)}


def test_hyperparameters_are_transferred_only_by_copy():
    found = built(16, formulation={"name": "hyperparameters"})
    lrs = [task.optimizer.lr for task in found]
    assert lrs[0] == 0.05 and len(set(lrs)) == 16 and all(0.025 <= lr <= 0.075 for lr in lrs)
    assert all(0.8 <= task.optimizer.momentum < 1 for task in found[1:])
    for how in ("copy", "momentum_only"):
        trial = population(
            formulation={"name": "hyperparameters"}, accept="always", optimiser_state=how
        )
        next(trial)
        owners = [1, 0] if how == "copy" else [0, 1]
        assert [trial._rounds.states[i].optimizer["lr"] for i in range(2)] == [
            trial._tasks[o].optimizer.lr for o in owners
        ]


def test_unknown_loss_of_task_kind_is_refused():
    with pytest.raises(
        BadInput,
        match=(
            r"formulation.losses\[0\]` cannot be used: task `scene` has an unknown loss of"
            r" classification"
        ),
    ):
        built(2, formulation={"name": "loss", "losses": ["no_such_loss"]})


def test_permuting_tasks_with_seeds_permutes_results(monkeypatch):
    """Invariant 13, with donors that are sampled by the keys of the tasks."""
    plain = population(tasks=3)
    reports = list(plain)
    monkeypatch.setattr(tasks, "keys", lambda count: [0, 2, 1])
    renamed = population(tasks=3)
    again = list(renamed)
    ours, theirs = states(plain), states(renamed)
    assert equal(ours[0], theirs[0]) and equal(ours[1], theirs[2]) and equal(ours[2], theirs[1])
    kept = [{k: v for k, v in r.items() if "/task" not in k} for r in timeless(reports)]
    assert kept == [{k: v for k, v in r.items() if "/task" not in k} for r in timeless(again)]


def test_members_that_are_not_paired_see_other_batches():
    paired, independent = population(), population(pairing="independent")
    task = paired._tasks[0]
    one, two = (
        trial._source.batch(task, 3, lane)[0] for trial, lane in ((paired, 0), (independent, 1))
    )
    assert not torch.equal(one, two)
    assert torch.equal(one, independent._source.batch(task, 3, 0)[0])


def test_batches_are_independent_of_earlier_draws():
    trial = population()
    task = trial._tasks[1]
    late = trial._source.batch(task, 17, 0)[0]
    for step in (3, 40, 0):
        trial._source.batch(task, step, 0)
    assert torch.equal(trial._source.batch(task, 17, 0)[0], late)


def test_a_formulation_without_a_class_is_refused(monkeypatch):
    from mtsearch.config import registry

    settings = type(config().population.formulation)
    monkeypatch.setattr(registry, "_IMPLEMENTATIONS", {})
    with pytest.raises(BadInput, match=f"`{settings.__name__}` has no implementation"):
        build_formulation(config(), DATA)
