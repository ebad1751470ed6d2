"""The rounds of a population: with transfer, without it, and with a single task. Invariants are
numbered as in the specification."""

import copy
import math

import pytest
import torch

from mtsearch.config.errors import BadInput
from mtsearch.models import build_model
from mtsearch.population import Population
from mtsearch.population.member import MemberTrainer
from mtsearch.population.seeding import derive_seed, generator_of
from mtsearch.population.task import BatchSource
from mtsearch.tasks import task_loss
from mtsearch.training.optimizers import build_optimizer
from mtsearch.training.schedules import lr_factor
from mtsearch.training.steps import Stepper
from tests.population import tiny
from tests.population.tiny import config, equal, population, states, timeless


def alone(key, path=None, tasks=2, **changes):
    """Return the weights and optimiser moments of a direct loop: the network and the optimiser of
    task `key` are trained in each of three rounds on the task that `path` names, by default its
    own, with batches of the random streams."""
    trial = population(tasks=tasks, accept="never", **changes)
    settings, task, interval = trial.config, trial._tasks[key], trial.config.population.interval
    path = path or [key] * 3
    with torch.random.fork_rng():
        torch.manual_seed(derive_seed(settings.seed, "init", key))
        model = build_model(settings.architecture, settings.backbone, [task.card], (1, 8, 8)).to(
            memory_format=torch.channels_last
        )
        optimizer = build_optimizer(settings.optimizer, model.parameters())
        steps, epoch = (
            len(path) * interval,
            math.ceil(len(trial._tasks[0].train) / settings.batch_size),
        )
        for step in range(steps):
            key, task = path[step // interval], trial._tasks[path[step // interval]]
            done, place = divmod(step, math.ceil(len(task.train) / settings.batch_size))
            order = torch.randperm(
                len(task.train), generator=generator_of(settings.seed, "order", key, done)
            )
            index = task.train[order][
                place * settings.batch_size : (place + 1) * settings.batch_size
            ]
            images, labels = trial._source._of(task, True).take(
                index, generator_of(settings.seed, "augment", key, step)
            )
            torch.manual_seed(derive_seed(settings.seed, "dropout", key, step))
            optimizer.param_groups[0]["lr"] = settings.optimizer.lr * lr_factor(
                settings.lr_schedule, step, epoch, steps / epoch
            )
            total, count = task_loss(task.card, model(images)["scene"], labels["scene"])
            optimizer.zero_grad()
            (total / count).backward()
            optimizer.step()
    weights = {name: value.detach() for name, value in model.state_dict().items()}
    moments = {
        name: {k: v for k, v in optimizer.state[p].items() if v is not None}
        for name, p in model.named_parameters()
    }
    return {"model": weights, "moments": moments}


def complete(trial, i):
    return {part: states(trial)[i][part] for part in ("model", "moments")}


def test_accept_never_equals_independent_runs():
    """Invariants 1 and 3: visitors that are trained, evaluated and rejected have no effect."""
    trial = population(accept="never")
    reports = list(trial)
    assert reports[-1]["population/accepted"] == 0 and reports[-1]["population/rejected"] == 6
    for key in range(2):
        assert equal(complete(trial, key), alone(key))


@pytest.mark.parametrize("tasks", [2, 4])
def test_group_size_one_equals_accept_never(tasks):
    """Invariant 2."""
    off, single = population(tasks=tasks, accept="never"), population(tasks=tasks, group_size=1)
    one = population(tasks=1, group_size=1)
    for trial in (off, single, one):
        list(trial)
    assert equal(states(off), states(single))
    assert equal(states(off)[0], states(one)[0])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"tasks": 1, "group_size": 2}, "should have `group_size` of at most `tasks`"),
        ({"tasks": 2, "group_size": 3}, "should have `group_size` of at most `tasks`"),
        (
            {"tasks": 3, "donor_rule": "all"},
            "with `donor_rule = all` should have `group_size` equal to `tasks`",
        ),
        (
            {"budget": 15},
            (
                r"should have a `budget` of at least one round, tasks x group_size x interval = 16."
                r" Found 15"
            ),
        ),
        ({"temperature": 2.0}, "does not use `temperature` without `donor_rule = softmax_score`"),
        ({"alpha": 0.5}, "does not use `alpha`"),
        ({"margin": 0.1}, "does not use `margin`"),
        ({"patience": 3}, "does not use `patience`"),
        ({"freeze_on_foreign_head": True}, "does not use `freeze_on_foreign_head`"),
        ({"layers": "("}, "regular expression"),
        (
            {"layers": "head", "head_policy": "keep"},
            "with `layers = head` should let heads be taken",
        ),
        ({"formulation": "optimizer"}, "should have `optimiser_state = reset`"),
        (
            {"formulation": {"name": "class_subset", "classes": 2}, "final": "average"},
            "should have `final = target_best`",
        ),
        (
            {"formulation": {"name": "class_subset", "classes": 2}, "head_policy": "copy"},
            "cannot have `head_policy = copy`",
        ),
        (
            {"trial__sparsity": "target"},
            "with `population` should have `sparsity` none. Found target",
        ),
        (
            {"trial__architecture": "mdmtn"},
            "with `population` should have `architecture` stl or hps. Found mdmtn",
        ),
        ({"trial__ema": 0.9}, "with `population` should have `ema` null. Found 0.9"),
        (
            {"budget": 99, "trial__epochs": {"search": 1}},
            "with `population.budget` does not use `epochs`",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        config(**changes)


def test_a_dataset_of_two_tasks_is_no_target(monkeypatch):
    two = tiny.dataset()
    two = two.__class__(
        two.card.model_copy(update={"tasks": (*two.card.tasks, *tiny.OTHER.card.tasks)}),
        *list(vars(two).values())[1:],
    )
    monkeypatch.setattr("mtsearch.training.checkpointed.open_dataset", lambda data: two)
    with pytest.raises(
        BadInput, match=r"target` should be a task of tiny: scene, kind\. Found none\."
    ):
        population()


def test_accepted_state_is_a_complete_copy():
    """Invariants 4 and 5: the visitor of task 0 that started from task 1 equals task 1's state
    continued on task 0's batches."""
    trial = population(accept="always", trial__optimizer={"name": "adam", "lr": 0.01})
    next(trial)
    donor = trial._rounds.states[1]
    continued = trial._trainer.train(trial._tasks[0], donor, 4, 4)
    before = {name: value.clone() for name, value in donor.model.items()}
    next(trial)
    taken = trial._rounds.states[0]
    assert equal(taken.tree(), continued.state.tree())
    assert [(n, v.shape, v.dtype) for n, v in taken.model.items()] == [
        (n, v.shape, v.dtype) for n, v in donor.model.items()
    ]
    assert taken.model["trunk.body.1.num_batches_tracked"].item() == 8
    for value in taken.model.values():
        value.add_(1)
    assert equal(donor.model, before)
    assert all(parameter.requires_grad for parameter in trial.selected_model().parameters())


def held(trial):
    """Return everything on which the next round depends."""
    names = (
        "number",
        "counts",
        "loss",
        "stopped",
        "snapshots",
        "_waits",
        "_scores",
        "_chosen",
        "_sizes",
    )
    return {name: getattr(trial._rounds, name) for name in names} | {
        "donors": trial._rounds.donors.scores,
        "states": states(trial),
    }


OPTIMIZERS = [
    {"name": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": True},
    {"name": "adam", "lr": 0.01},
    {"name": "adamw", "lr": 0.01},
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda settings: settings["name"])
def test_accepted_state_trains_like_its_donor(optimizer):
    """Invariant 5: if every visitor is accepted, the networks of two tasks are swapped in each
    round, and each ends as one network that was trained with its own optimiser on the batches of
    alternating tasks."""
    trial = population(accept="always", trial__optimizer=optimizer)
    list(trial)
    assert equal(complete(trial, 1), alone(0, [1, 0, 1], trial__optimizer=optimizer))
    assert equal(complete(trial, 0), alone(1, [0, 1, 0], trial__optimizer=optimizer))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"merge": "lerp", "alpha": 0.3},
        {"merge": "conv_lerp", "alpha": 1.0},
        {"merge": "lerp", "merge_at": "acceptance", "alpha": 0.3},
        {"merge": "conv_lerp", "merge_at": "acceptance", "alpha": 0.3},
        {"layers": "backbone"},
        {"optimiser_state": "reset"},
    ],
    ids=lambda changes: "-".join(map(str, changes.values())) or "replace",
)
def test_no_two_tasks_hold_the_same_memory(changes):
    """Invariant 4: transferred states keep the names, shapes, dtypes and devices of their tensors,
    and tasks share no tensors."""

    def tensors(state):
        return [
            *state.model.values(),
            *(value for held in state.moments.values() for value in held.values()),
        ]

    trial = population(tasks=3, accept="always", budget=2 * 24, **changes)
    first = dict(trial._rounds.states)
    list(trial)
    places = [
        {value.untyped_storage().data_ptr() for value in tensors(trial._rounds.states[i])}
        for i in range(3)
    ]
    assert len(set.union(*places)) == sum(map(len, places)) > 0
    for i, state in trial._rounds.states.items():
        look = [
            [(name, v.shape, v.dtype, v.device, v.requires_grad) for name, v in s.model.items()]
            for s in (first[i], state)
        ]
        assert look[0] == look[1]
        assert all(value.device == trial.device for value in tensors(state))


def watched(trial):
    """Return a list to which the results of the members and the table of their values are appended
    in each round."""
    seen, judge = [], trial._rounds._judge
    trial._rounds._judge = lambda live, donors, results, table: (
        seen.append((results, table)) or judge(live, donors, results, table)
    )
    return seen


def test_best_visitor_wins_and_loss_never_rises():
    """Invariants 7 and 8."""
    trial = population(tasks=3, group_size=3, accept="strict", budget=5 * 36)
    seen, taken = watched(trial), set()
    for report in trial:
        results, table = seen[-1]
        for i in range(3):
            losses = [table[i, m][0] for m in range(3)]
            kept = losses.index(min(losses))  # of equals the task's own, which is the first
            taken.add(kept)
            assert report[f"population/task{i}/accepted"] == float(kept > 0)
            assert report[f"population/task{i}/loss"] == min(losses) <= losses[0]
            state = trial._rounds.states[i]
            assert equal(state.tree(), results[i, kept].state.tree())
            assert trial._trainer.loss(
                trial._tasks[i], state.model, trial._tasks[i].hold_out, 0
            ) == min(losses)
    assert taken == {
        0,
        1,
        2,
    }, "own states and both visitors should have won for this test to tell anything"


def test_visitor_with_equal_loss_is_rejected():
    """Invariant 7: a visitor that takes nothing from its donor equals the task's own member."""
    trial = population(merge="lerp", alpha=0.0)
    seen = watched(trial)
    reports = list(trial)
    assert all(table[i, 0][0] == table[i, 1][0] for _, table in seen for i in range(2))
    assert reports[-1]["population/accepted"] == 0 and reports[-1]["population/rejected"] == 6
    assert all(equal(complete(trial, key), alone(key)) for key in range(2))


@pytest.mark.parametrize("accept", ["strict", "always", "never"])
def test_steps_and_decisions_are_counted(accept, monkeypatch):
    """Invariant 16: tasks x members x steps x rounds."""
    made, step = [], Stepper.step
    monkeypatch.setattr(
        Stepper, "step", lambda self, *values: made.append(1) or step(self, *values)
    )
    trial = population(tasks=3, group_size=2, accept=accept, budget=5 * 24)
    for number, report in enumerate(trial, 1):
        assert len(made) == report["cost/steps"] == 3 * 2 * 4 * number
        assert report["population/accepted"] + report["population/rejected"] == 3 * number
        assert report["population/round"] == number
    assert number == 5 and report["cost/examples"] > report["cost/steps"] * 10


def test_the_schedule_follows_the_members_own_steps():
    """Invariant 16: the learning rate of a round depends on the number of rounds only, not on
    transfers."""
    lrs = [
        [r["lr"] for r in population(accept=accept, budget=5 * 16)]
        for accept in ("always", "never")
    ]
    assert lrs[0] == lrs[1] and lrs[0][-1] < lrs[0][0] < 0.05


def test_target_stop_scope_ignores_auxiliary_patience():
    """Section 1.8 and invariant 16: auxiliary tasks without a lower loss continue to train, so that
    every round has the same number of steps."""
    trial = population(
        tasks=3,
        stop_scope="target",
        patience=2,
        budget=24 * 30,
        accept="never",
        trial__optimizer={"name": "sgd", "lr": 0.3},
    )
    waited = False
    for report in trial:
        assert report["cost/steps"] == 3 * 2 * 4 * report["population/round"]
        waited |= max(trial._rounds._waits[1:]) >= 2 and not trial._rounds.over
    assert waited, (
        "an auxiliary task should have been without a lower loss for as long as the target may be"
    )
    assert trial._rounds.stopped <= {0}


def test_initial_weights_are_drawn_as_the_trial_says():
    found = {
        init: states(population(trial__init=init))[0]["model"] for init in ("default", "normal")
    }
    weights = {
        init: torch.cat(
            [w.flatten() for name, w in model.items() if name.endswith("weight") and w.dim() == 4]
        )
        for init, model in found.items()
    }
    assert (
        weights["normal"].std().item() == pytest.approx(0.01, rel=0.3)
        and weights["default"].std() > 0.03
    )


def test_epochs_below_one_round_are_refused():
    with pytest.raises(
        BadInput,
        match=(
            r"`trial.population.interval` should be at most the 12 steps of `trial.epochs`."
            r" Found 100"
        ),
    ):
        population(interval=100, trial__epochs={"search": 0, "retrain": 2})


def test_early_stopping_counts_rounds_without_improvement():
    trial = population(
        stop_scope="target",
        patience=2,
        budget=16 * 40,
        trial__optimizer={"name": "sgd", "lr": 1e-9},
        accept="never",
    )
    reports = list(trial)
    assert (
        reports[-1]["population/round"] - reports[-1]["population/best_round"]
        == 2
        < reports[-1]["population/rounds"]
    )
    trial = population(
        stop_scope="per_task",
        patience=1,
        budget=16 * 40,
        trial__optimizer={"name": "sgd", "lr": 1e-9},
        accept="never",
    )
    reports = list(trial)
    assert (
        reports[-1]["cost/steps"] < 16 * reports[-1]["population/round"]
        or len(trial._rounds.stopped) == 2
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {
            "tasks": 3,
            "donor_rule": "softmax_score",
            "score_decay": 0.8,
            "final": "best_across",
            "stop_scope": "per_task",
        },
        {
            "merge": "lerp",
            "alpha": 0.5,
            "validation_policy": "shared_select",
            "trial__optimizer": {"name": "adamw", "lr": 0.01},
        },
        {
            "eval_transform": "train",
            "pairing": "independent",
            "final": "average",
            "optimiser_state": "reset",
        },
        {
            "stop_scope": "per_task",
            "patience": 9,
            "accept": "never",
            "trial__optimizer": {"name": "adam", "lr": 0.1},
        },
    ],
    ids=["plain", "scores", "lerp-select", "train-transform", "waits"],
)
def test_restored_population_continues_bit_identically(changes, tmp_path):
    """Invariant 15, including states, scores, wait counters and snapshots."""
    plain, whole, inside = population(**changes), [], []
    for report in plain:
        whole.append(report)
        inside.append(copy.deepcopy(held(plain)))
    # a wait counter must be above 0 when the state is saved
    assert "patience" not in changes or any(any(found["_waits"]) for found in inside[:2])
    trial = population(**changes)
    for number in range(3):
        trial.save(tmp_path / "state")
        trial = Population.restore(tmp_path / "state")
        assert timeless([next(trial)]) == timeless(whole[number : number + 1])
        assert equal(held(trial), inside[number])
    assert equal(trial._final, plain._final)
    trial.save(tmp_path / "end")
    done = Population.restore(tmp_path / "end")
    with pytest.raises(StopIteration):
        next(done)
    assert done.state_dict()["live"] is None
    assert timeless([done.selected]) == timeless(whole[-1:])
    assert done.evaluate("val") == {k: v for k, v in done.selected.items() if k.startswith("val/")}
    assert done.evaluate("test") == trial.evaluate("test") == plain.evaluate("test")


def test_report_interval_does_not_change_reports():
    single, double = (
        list(population(budget=16 * 4)),
        list(population(budget=16 * 4, trial__report_every=3)),
    )
    assert [r["population/round"] for r in double] == [3, 4]
    kept = {
        k: v
        for k, v in single[-1].items()
        if k not in ("report", "train/scene/loss", "cost/seconds")
    }
    assert kept == {k: v for k, v in double[-1].items() if k in kept}


def test_without_budget_the_target_epochs_apply():
    trial = population(trial__epochs={"search": 2, "retrain": 2})
    assert trial.rounds == 4 * 6 // 4 and trial.total_epochs == 4


def test_final_network_of_each_rule():
    best, last, across, mean = (
        population(accept="never", budget=16 * 6, **changes)
        for changes in (
            {},
            {"trial__select": "last"},
            {"final": "best_across"},
            {"final": "average"},
        )
    )
    for trial in (best, last, across, mean):
        list(trial)
    assert equal(last._final, last._rounds.states[0].model)
    assert best.selected["population/best_round"] == best._rounds.target_round
    target, parts = across._tasks[0], [task.hold_out for task in across._tasks]
    losses = [
        sum(
            across._trainer.metrics(target, across._rounds.snapshots[i], part)["loss"]
            for part in parts
        )
        / len(parts)
        for i in range(2)
    ]
    assert equal(across._final, across._rounds.snapshots[losses.index(min(losses))])
    one, two = (mean._rounds.states[i].model for i in range(2))
    for name, value in mean._final.items():
        if value.is_floating_point():
            assert torch.allclose(value, (one[name] + two[name]) / 2, atol=1e-7)


def test_only_test_evaluation_has_class_metrics():
    trial = population()
    reports = list(trial)
    found = trial.evaluate("test")
    assert {key for key in found if key.startswith("test/scene/accuracy/")} == {
        f"test/scene/accuracy/{c}" for c in "abc"
    }
    assert not any("accuracy/" in key for key in reports[-1])
    labels = tiny.dataset().splits["test"].labels["scene"]
    right = sum(
        found[f"test/scene/accuracy/{name}"] * int((labels == c).sum())
        for c, name in enumerate("abc")
    ) / len(labels)
    assert right == pytest.approx(100 - found["test/scene/error"])


def test_interval_can_be_counted_in_epochs():
    """The target has 96 images and batches of 16: an epoch is six steps."""
    by_epochs = population(interval=2, interval_unit="epochs", budget=3 * 2 * 2 * 12)
    by_steps = population(interval=12, budget=3 * 2 * 2 * 12)
    assert timeless(list(by_epochs)) == timeless(list(by_steps)) and by_epochs.total_epochs == 6
    assert equal(states(by_epochs), states(by_steps))
    with pytest.raises(
        BadInput,
        match=r"at least one round, tasks x group_size x 2 epochs of 6 steps = 48\. Found 47\.",
    ):
        population(interval=2, interval_unit="epochs", budget=47)


def test_members_of_a_task_share_their_batches(monkeypatch):
    """Invariant 12."""
    seen, batch, loss = {}, BatchSource.batch, MemberTrainer.loss

    def taken(self, task, step, lane):
        found = batch(self, task, step, lane)
        seen.setdefault(("train", task.key, step), []).append(found[0])
        return found

    def judged(self, task, weights, index, number):
        seen.setdefault(("judge", task.key, number), []).append(index)
        return loss(self, task, weights, index, number)

    monkeypatch.setattr(BatchSource, "batch", taken)
    monkeypatch.setattr(MemberTrainer, "loss", judged)
    list(population(tasks=3, group_size=3, validation_policy="independent", budget=2 * 36))
    assert set(seen) == {("train", i, step) for i in range(3) for step in range(8)} | {
        ("judge", i, n) for i in range(3) for n in range(2)
    }
    assert all(
        len(found) == 3 and all(torch.equal(found[0], other) for other in found)
        for found in seen.values()
    )


def test_population_keeps_the_global_random_state():
    trial = population()
    before = torch.get_rng_state()
    next(trial), trial.selected_model(), trial.evaluate("val")
    assert torch.equal(torch.get_rng_state(), before)
