"""A trial whose images stay in the store reports the same numbers as one that holds them."""

import os

import pytest

from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.training import Trial

DATA = DataConfig(dataset="patches10_digits", limit=200, workers=1)


def config(**changes):
    base = {
        "architecture": "hps",
        "backbone": "cm",
        "batch_size": 64,
        "epochs": {"search": 2, "retrain": 0},
        "sparsity": "none",
        "augment": {"flip": True, "crop": 2},
        "init": "lsuv",
    }
    return TrialConfig.model_validate({**base, **changes})


def data(load):
    return DATA.model_copy(update={"load": load})


def reports(trial):
    return [{k: v for k, v in report.items() if k != "cost/seconds"} for report in trial]


@pytest.fixture
def children():
    """Returns the processes that this one has started since the test began."""

    def running():
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
            return set(file.read().split())

    before = running()
    return lambda: running() - before


def test_reports_are_bit_identical(children):
    held, streamed = Trial(config(), data("memory")), Trial(config(), data("stream"))
    assert reports(streamed) == reports(held)
    assert streamed.evaluate("test") == held.evaluate("test")
    streamed.close()
    assert not children()


def test_a_streamed_trial_continues_in_memory(tmp_path):
    whole = reports(Trial(config(), data("memory")))
    first = Trial(config(), data("stream"))
    next(first)
    first.save(tmp_path / "checkpoint")
    first.close()
    for load in ("stream", "memory"):
        assert reports(Trial.restore(tmp_path / "checkpoint", data(load))) == whole[1:]


def test_tasks_without_common_images_share_the_workers():
    changes = {"architecture": "stl", "task_schedule": {"name": "coin", "rounds": 4}, "init": None}
    given = {k: v for k, v in changes.items() if v is not None}
    held, streamed = (Trial(config(**given), data(load)) for load in ("memory", "stream"))
    assert reports(streamed) == reports(held)
