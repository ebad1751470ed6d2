"""Random faults, six rounds; see `tests.chaos.rounds` for more."""

import os
from pathlib import Path

import pytest

from tests.chaos.rounds import play_all

pytestmark = pytest.mark.slow


def test_random_faults_change_no_table(drive, tmp_path):
    count = int(os.environ.get("MTSEARCH_ROUNDS", "6"))
    log = Path(os.environ.get("MTSEARCH_ROUNDS_LOG", tmp_path / "rounds.jsonl"))
    lines = play_all(drive, tmp_path, count, log)
    assert [line for line in lines if line["result"] != "equal"] == []
