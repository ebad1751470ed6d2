import sys
from pathlib import Path

import pytest

ROOT = str(Path(__file__).parents[2])
if ROOT not in sys.path:
    sys.path.insert(
        0, ROOT
    )  # so that test modules and other processes alike find `tests.population.tiny`


@pytest.fixture(autouse=True)
def tiny_data(monkeypatch):
    """Every population of this room opens the tiny dataset."""
    from tests.population.tiny import opened

    monkeypatch.setattr("mtsearch.training.checkpointed.open_dataset", opened)
    monkeypatch.setattr("mtsearch.population.formulations.dataset.open_dataset", opened)
    monkeypatch.setattr(
        "mtsearch.population.formulations.dataset.resolve", opened
    )  # of which the card is read
