"""The blocks of docs/library.md run in order."""

import re
from pathlib import Path

import pytest
import torch

import mtsearch
from mtsearch.commands import train

PAGE = Path(mtsearch.__file__).parent.parent / "docs" / "library.md"
pytestmark = pytest.mark.skipif(
    not PAGE.is_file(), reason="these tests read the clone that the package was built from"
)


def test_the_blocks_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MTSEARCH_DATA", raising=False)
    words = ["data.limit=300", "trial.epochs={search: 1, retrain: 1}", "results.run=first"]
    assert train.main(["space=pareto_cm", "data.dataset=patches10_digits", *words]) == 0
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    assert len(blocks) == 8
    threads, scope = torch.get_num_threads(), {}
    try:
        for number, block in enumerate(blocks, start=1):
            exec(compile(block, f"{PAGE}, block {number}", "exec"), scope)
    finally:
        torch.set_num_threads(threads)
    shown = capsys.readouterr().out
    assert "{'image': (8, 10), 'digit': (8, 10)}" in shown
    assert "[ True False  True  True] 2 " in shown
