"""A search that needs more memory than there is, is refused with settings that would fit."""

import pytest

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.config.space import Space
from mtsearch.data import open_dataset
from mtsearch.execution import needs
from mtsearch.execution.engine import run
from mtsearch.training.costs import StepCost, measure_step
from tests.helpers.spaces import space

GB = 10**9


@pytest.fixture(autouse=True)
def ten_gigabytes(monkeypatch):
    monkeypatch.setattr(needs, "machine_memory", lambda: 10 * GB)


@pytest.mark.parametrize(
    ("data", "network", "activations", "word", "settings"),
    [
        (
            6 * GB,
            1,
            1,
            "dataset",
            "`data.load=stream`, `search.slots=1` or a smaller `data.size`",
        ),
        (
            1,
            6 * GB,
            1,
            "network",
            "`search.slots=1`, a smaller `trial.backbone` or a smaller `trial.architecture`",
        ),
        (
            1,
            1,
            6 * GB,
            "activations",
            "`search.slots=1`, `trial.batch_size=32` or a smaller `data.size`",
        ),
    ],
)
def test_trials_that_do_not_fit_are_refused(data, network, activations, word, settings):
    costs = [StepCost(data, network, activations, 1.0, 64)]
    needs.check_fits(costs, 1)
    with pytest.raises(BadInput, match=f"mostly for the {word}, but there are 10.0 GB") as caught:
        needs.check_fits(costs, 2)
    assert str(caught.value).endswith(f"; use {settings}.")


def test_every_worker_holds_the_data():
    costs = [StepCost(3 * GB, 1, 4 * GB, 1.0, 64)]
    needs.check_fits(costs, 1)
    with pytest.raises(BadInput, match=r"needs about 11\.0 GB of memory for 1 trial"):
        needs.check_fits(costs, 1, workers=2)


def test_search_that_does_not_fit_is_refused(tmp_path, monkeypatch):
    raw = space(tmp_path).raw
    dataset = open_dataset(DataConfig.model_validate(raw["data"]))
    one = measure_step(Space(raw).trial({**raw["trial"], "batch_size": 8}), dataset)
    monkeypatch.setattr(needs, "machine_memory", lambda: needs.PROGRAM + 2 * one.memory)
    batch_size = {"choice": [8, 150], "default": 8}
    made = Space({**raw, "trial": {**raw["trial"], "batch_size": batch_size}})
    with pytest.raises(BadInput, match=r"the activations, .* `trial.batch_size=\d+`"):
        run(made, name="large")
    assert not list(tmp_path.iterdir())


def test_few_images_measure_a_batch():
    dataset = open_dataset(DataConfig(dataset="patches10_digits", limit=300))
    config = TrialConfig(architecture="hps", batch_size=128)
    few, whole = (measure_step(config, dataset, images=n) for n in (4, None))
    assert few.activations == pytest.approx(whole.activations, rel=0.05)
    assert (few.network, few.data, few.batch) == (whole.network, whole.data, whole.batch)


def test_frozen_trunks_need_files_and_no_activations():
    data = DataConfig(dataset="patches10_digits", limit=300)
    dataset = open_dataset(data)
    config = TrialConfig(backbone={"name": "cm", "tune": "head"})
    whole, kept = measure_step(config, dataset), measure_step(config, dataset, data)
    images = len(dataset.splits["train"]) + len(dataset.splits["val"])
    assert kept.features == images * 32 * 4 and whole.features == 0
    assert kept.activations < whole.activations / 10


def test_activations_grow_with_the_batch():
    dataset = open_dataset(DataConfig(dataset="patches10_digits", limit=300))
    small, large = (
        measure_step(TrialConfig(architecture="hps", batch_size=size), dataset)
        for size in (32, 128)
    )
    assert 3.5 < large.activations / small.activations < 4.1
    assert small.network == large.network and small.data == large.data
    assert small.data == sum(
        2 * split.images.numel() + sum(v.numel() * v.itemsize for v in split.labels.values())
        for split in dataset.splits.values()
    )
