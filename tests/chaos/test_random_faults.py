"""Random faults, six rounds of a new seed each day; see `tests.chaos.rounds` for more."""

import datetime
import os
from pathlib import Path

import pytest

from tests.chaos.rounds import FAULTS, drawn, play_all


@pytest.mark.slow
def test_random_faults_change_no_table(drive, tmp_path):
    count = int(os.environ.get("MTSEARCH_ROUNDS", "6"))
    seed = int(os.environ.get("MTSEARCH_ROUNDS_SEED", datetime.date.today().toordinal()))
    log = Path(os.environ.get("MTSEARCH_ROUNDS_LOG", tmp_path / "rounds.jsonl"))
    lines = play_all(drive, tmp_path, seed, count, log)
    assert [line for line in lines if line["result"] != "equal"] == []


def test_rounds_draw_every_fault():
    for seed in range(20):
        assert {drawn(seed, number)[1] for number in range(len(FAULTS))} == set(FAULTS)
    assert {drawn(seed, number)[1] for seed in range(20) for number in range(6)} == set(FAULTS)
