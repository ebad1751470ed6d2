"""The limit on the number of objectives."""

import pytest

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import Objective
from mtsearch.pareto import MAX_OBJECTIVES, check_objectives


def test_more_than_ten_objectives_are_refused():
    many = [Objective(metric=f"val/t{i}/error", goal="min") for i in range(41)]
    check_objectives(many[:MAX_OBJECTIVES])
    with pytest.raises(BadInput, match=r"Found 41\. Aggregate them with `val/mean/error`"):
        check_objectives(many)
