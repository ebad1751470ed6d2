"""Task schedules: the tasks of each step, from the schedule's own seed."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mtsearch.balancing.schedules import Stream, build_schedule
from mtsearch.config import schema
from mtsearch.config.errors import BadInput
from mtsearch.config.registry import methods

NAMES = ("item", "image")
STREAMS = {(0,): Stream(5000, 128), (1,): Stream(50000, 128), (0, 1): Stream(50000, 128)}


def plan(config, seed=0, streams=STREAMS, names=NAMES):
    schedule = build_schedule(config, names)
    return schedule.epoch(
        {group: streams[group] for group in schedule.groups}, torch.Generator().manual_seed(seed)
    )


def test_fair_coins_leave_quarter_of_rounds_empty():
    rounds = 100_000
    schedule = build_schedule(schema.CoinConfig(rounds=rounds), NAMES)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.rand(rounds, 2, generator=generator, dtype=torch.float64) < 0.5
    steps = schedule.epoch(STREAMS, torch.Generator().manual_seed(0))
    assert steps == [(k,) for row in drawn.tolist() for k in (0, 1) if row[k]]
    taken = drawn.sum(1)
    for count, share in ((0, 0.25), (1, 0.5), (2, 0.25)):
        assert (taken == count).double().mean().item() == pytest.approx(share, abs=0.01)
    assert torch.corrcoef(drawn.double().T)[0, 1].abs().item() < 0.01


def test_each_task_gets_steps_at_its_own_rate():
    steps = plan(schema.CoinConfig(probabilities={"item": 0.2, "image": 0.9}, rounds=100_000))
    assert steps.count((0,)) / 100_000 == pytest.approx(0.2, abs=0.01)
    assert steps.count((1,)) / 100_000 == pytest.approx(0.9, abs=0.01)


def test_coin_rounds_default_to_most_batches():
    counts = [
        (len(steps), steps.count((0,)), steps.count((1,)))
        for seed in range(200)
        for steps in [plan(schema.CoinConfig(), seed)]
    ]
    mean = torch.tensor(counts, dtype=torch.float64).mean(0)
    assert mean.tolist() == pytest.approx([391, 195.5, 195.5], abs=2.5)
    spread = torch.tensor(counts, dtype=torch.float64).std(0)
    # 195.5 +- 10 steps of each task
    assert spread[1:].tolist() == pytest.approx([(391 / 4) ** 0.5] * 2, abs=1.5)
    assert max(count for row in counts for count in row[1:]) <= 391
    assert build_schedule(schema.CoinConfig(), NAMES).steps_per_epoch(STREAMS) == 391


def test_coin_probabilities_of_one_and_zero():
    assert plan(schema.CoinConfig(probabilities=1.0, rounds=3)) == [(0,), (1,)] * 3
    assert (
        plan(schema.CoinConfig(probabilities={"item": 1.0, "image": 0.0}, rounds=3)) == [(0,)] * 3
    )


def test_at_least_one_coin_succeeds_where_asked_for():
    config = schema.CoinConfig(
        probabilities={"item": 0.05, "image": 0.05}, rounds=500, at_least_one=True
    )
    assert len(plan(config)) >= 500
    expected = build_schedule(config, NAMES).steps_per_epoch(STREAMS)
    assert expected == round(500 * 0.1 / (1 - 0.95**2))


def test_a_shuffled_order_puts_either_task_first():
    steps = plan(schema.CoinConfig(probabilities=1.0, rounds=400, order="shuffled"))
    firsts = [steps[i] for i in range(0, 800, 2)]
    assert {steps[i] for i in range(0, 2)} == {(0,), (1,)}
    assert 150 < firsts.count((0,)) < 250


def test_sequential_covers_every_batch_in_order():
    assert plan(schema.SequentialConfig()) == [(0,)] * 40 + [(1,)] * 391
    assert plan(schema.SequentialConfig(drop_last=True)) == [(0,)] * 39 + [(1,)] * 390


def test_sequential_drop_last_refuses_tasks_without_batch():
    with pytest.raises(BadInput, match=r"Found 100 for task"):
        plan(
            schema.SequentialConfig(drop_last=True),
            streams={(0,): Stream(100, 128), (1,): Stream(500, 128)},
        )


def test_round_robin_takes_turns():
    assert plan(schema.RoundRobinConfig(every=2, rounds=2)) == [(0,), (0,), (1,), (1,)] * 2
    assert len(plan(schema.RoundRobinConfig(every=4))) == 2 * 4 * 98


def test_proportional_draws_follow_the_sizes():
    steps = plan(schema.ProportionalConfig(alpha=1.0, steps=20_000))
    assert steps.count((1,)) / len(steps) == pytest.approx(10 / 11, abs=0.01)
    equal = plan(schema.ProportionalConfig(alpha=0.0, steps=20_000))
    assert equal.count((1,)) / len(equal) == pytest.approx(0.5, abs=0.015)


def test_categorical_draws_follow_their_probabilities():
    steps = plan(schema.CategoricalConfig(probabilities={"item": 0.3, "image": 0.7}, steps=20_000))
    assert steps.count((0,)) / len(steps) == pytest.approx(0.3, abs=0.015)
    assert len(plan(schema.CategoricalConfig())) == 40 + 391


@pytest.mark.parametrize(
    "config",
    [
        schema.CategoricalConfig(steps=1001, every=10),
        schema.ProportionalConfig(alpha=0.5, steps=1001, every=10),
    ],
)
def test_drawn_task_can_repeat_for_several_steps(config):
    steps = plan(config)
    assert len(steps) == 1001
    draws = [steps[i : i + 10] for i in range(0, 1001, 10)]
    assert all(len(set(draw)) == 1 for draw in draws)
    assert 1 < sum(a[-1] != b[0] for a, b in itertools.pairwise(draws)) < 100


def test_joint_trains_all_tasks_in_every_step():
    assert plan(schema.JointConfig()) == [(0, 1)] * 391


@pytest.mark.parametrize(
    "config", [cls() for cls in methods("task_schedule").values()], ids=lambda config: config.name
)
@given(seed=st.integers(0, 2**31), sizes=st.lists(st.integers(1, 300), min_size=1, max_size=4))
@settings(max_examples=15, deadline=None)
def test_schedules_are_seeded_and_match_their_expected_steps(config, seed, sizes):
    names = [f"task{k}" for k in range(len(sizes))]
    schedule = build_schedule(config, names)
    streams = {group: Stream(max(sizes[k] for k in group), 16) for group in schedule.groups}
    once, again = (schedule.epoch(streams, torch.Generator().manual_seed(seed)) for _ in range(2))
    assert once == again
    assert set(once) <= set(schedule.groups)
    assert schedule.steps_per_epoch(streams) >= 1
    if config.name != "coin":
        assert len(once) == schedule.steps_per_epoch(streams)


def test_another_seed_gives_another_sequence():
    assert plan(schema.CoinConfig(), 0) != plan(schema.CoinConfig(), 1)


@pytest.mark.parametrize("values", [{"item": 0.5}, {"item": 0.5, "image": 0.5, "imag": 0.1}])
def test_probabilities_name_every_task_and_no_other(values):
    with pytest.raises(BadInput, match=r"trial.task_schedule.probabilities.*`ima"):
        plan(schema.CoinConfig(probabilities=values))
