"""The embedded datasets pass the public conformance suite; those that take long to build are slow
tests."""

import pytest

from mtsearch.config.schema import DataConfig
from mtsearch.data import list_cards
from mtsearch.testing import DatasetConformance

QUICK = ("multidigits",)

for _name, _card in list_cards().items():
    if _card.embedded:
        # Degraded images are not normalised.
        _far = {"statistics": 1.0} if _card.source["kind"] == "degraded" else {}
        _attributes = {
            **_far,
            "data": DataConfig(dataset=_name),
            "pytestmark": [] if _name in QUICK else [pytest.mark.slow],
        }
        globals()[f"Test_{_name}"] = type("DatasetConformance", (DatasetConformance,), _attributes)
