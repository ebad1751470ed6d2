"""Resident worker groups on real processes: one start, many trials, and workers that die, raise
or stop."""

import json
import os

import pytest
import ray

from mtsearch.execution.worker_group import WorkerGroup
from tests.helpers.fake import order
from tests.helpers.fixtures import FAKE
from tests.helpers.spaces import space

pytestmark = pytest.mark.slow

SETTINGS = {
    "workers": 2,
    "cpu": 0.5,
    "gpu": 0,
    "threads": 1,
    "timeout": 20,
    "start": 240,
    "deaths": 2,
}


@pytest.fixture(scope="module")
def group(ray_cluster):
    made = WorkerGroup(SETTINGS)
    yield made
    made.close()


@pytest.fixture
def train(group, tmp_path):
    """`train(batch_size)` trains a fake trial in the group and returns its results; batch sizes
    name trials for `order`."""
    for path in os.scandir(os.environ["MTSEARCH_TEST_PLAN"]):
        os.unlink(path)

    def run(batch_size, trial_class=FAKE, config=None, data=None):
        job = {
            "purpose": "train",
            "checkpoint": {"folder": str(tmp_path / f"{batch_size:04d}")},
            "config": config or {**space(tmp_path).defaults, "batch_size": batch_size},
            "data": data or {"dataset": "none"},
            "gpu": 0,
            "plugins": [],
            "trial_class": trial_class,
        }
        group.begin(json.dumps(job))
        found = [group.step()]
        while not found[-1].done:
            found.append(group.step())
        return found

    return run


def numbers(results):
    return [report["report"] for result in results for report in result.reports]


def reports(results):
    """By number, without the time they took."""
    return {
        report["report"]: {key: value for key, value in report.items() if key != "cost/seconds"}
        for result in results
        for report in result.reports
    }


def test_one_group_trains_trial_after_trial(train, group):
    for batch_size in (1, 2, 3):
        results = train(batch_size)
        assert (
            numbers(results) == [1, 2, 3]
            and results[-1].selected == 3
            and results[-1].failed is None
        )
    assert ray.get(group._box.incarnation.remote()) == 1


def test_exceptions_of_all_ranks_fail_only_the_trial(train, group):
    before = ray.get(group._box.incarnation.remote())
    order("raise", 7, 2)
    results = train(7)
    assert results[-1].failed == "ValueError: the trial was ordered to raise"
    assert numbers(train(8)) == [1, 2, 3]
    assert ray.get(group._box.incarnation.remote()) == before


def test_groups_train_like_two_ranks(train):
    config = {
        "backbone": "cm",
        "architecture": "mdmtn",
        "batch_size": 32,
        "epochs": {"search": 1, "retrain": 1},
        "balancing": {"name": "mgda", "level": "feature"},
    }
    data = {"dataset": "patches10_digits", "limit": 75}
    results = train(9, "mtsearch.training:Trial", config, data)
    assert results[-1].failed is None and numbers(results) == [1, 2]
    from mtsearch.config.schema import DataConfig, TrialConfig
    from mtsearch.training import Trial

    alone = list(Trial(TrialConfig.model_validate(config), DataConfig.model_validate(data)))
    for mine, theirs in zip(
        alone, [report for result in results for report in result.reports], strict=True
    ):
        assert theirs["train/image/loss"] == pytest.approx(mine["train/image/loss"], rel=1e-4)


def test_trials_continue_after_rank_death(train):
    config = {"backbone": "cm", "batch_size": 33, "epochs": {"search": 1, "retrain": 1}}
    data = {"dataset": "patches10_digits", "limit": 75}
    undisturbed = reports(train(34, "mtsearch.training:Trial", config, data))
    order("die", 33, 2)
    results = train(33, "tests.helpers.mortal:MortalTrial", config, data)
    assert results[-1].failed is None and results[-1].starts == 2
    assert reports(results) == undisturbed and list(undisturbed) == [1, 2]


def test_groups_that_cannot_start_name_the_reason(ray_cluster):
    # In an actor, as in a search: what still waits for its workers ends with that process.
    group = ray.remote(num_cpus=0)(WorkerGroup).remote({**SETTINGS, "cpu": 64, "start": 5})
    try:
        ray.get(group.begin.remote("{}"))
        result = ray.get(group.step.remote())
        assert (
            result.done
            and "group of 2 workers with 64 CPU" in result.failed
            and "within 5 seconds" in result.failed
        )
    finally:
        ray.kill(group)
