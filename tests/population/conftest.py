import sys
from pathlib import Path

import pytest

ROOT = str(Path(__file__).parents[2])
if ROOT not in sys.path:
    # `tests.population.tiny` must be importable in test modules and in other processes
    sys.path.insert(0, ROOT)


@pytest.fixture(autouse=True)
def tiny_data(monkeypatch):
    """Every population of these tests opens the tiny dataset."""
    from tests.population.tiny import opened

    monkeypatch.setattr("mtsearch.training.checkpointed.open_dataset", opened)
    monkeypatch.setattr("mtsearch.population.formulations.dataset.open_dataset", opened)
    # only the card of the resolved dataset is used
    monkeypatch.setattr("mtsearch.population.formulations.dataset.resolve", opened)
