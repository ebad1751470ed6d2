"""A search that needs more memory than there is, is refused with settings that would fit."""

import pytest

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.data import open_dataset
from mtsearch.execution import needs
from mtsearch.training.costs import StepCost, measure_step

GB = 10**9


@pytest.fixture(autouse=True)
def ten_gigabytes(monkeypatch):
    monkeypatch.setattr(needs, "machine_memory", lambda: 10 * GB)


@pytest.mark.parametrize(
    ("data", "network", "activations", "word", "setting"),
    [
        (6 * GB, 1, 1, "dataset", "`data.load=stream`, a smaller `data.size` or `search.slots=1`"),
        (1, 6 * GB, 1, "network", "a smaller `trial.backbone`"),
        (1, 1, 6 * GB, "activations", "a smaller `trial.batch_size` or `data.size` or"),
    ],
)
def test_trials_that_do_not_fit_are_refused(data, network, activations, word, setting):
    costs = [StepCost(data, network, activations, 1.0, 64)]
    needs.check_fits(costs, 1)
    with pytest.raises(BadInput, match=f"mostly for the {word}, but there are 10.0 GB") as caught:
        needs.check_fits(costs, 2)
    assert setting in str(caught.value)


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
