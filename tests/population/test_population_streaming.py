"""Populations hold their dataset in memory."""

import pytest

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.data import load_card
from mtsearch.population.checks import check_population


def test_a_population_is_refused_to_stream():
    data = DataConfig(dataset="multidigits", load="stream")
    with pytest.raises(BadInput, match=r"`data.load` should be auto or memory.* Found stream"):
        check_population(TrialConfig(), data, load_card("multidigits"))
