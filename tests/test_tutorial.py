"""The blocks of docs/tutorial.md run in order."""

import re
from pathlib import Path

import pytest
import torch

import mtsearch
from mtsearch.config.reading import load_space

PAGE = Path(mtsearch.__file__).parent.parent / "docs" / "tutorial.md"
pytestmark = pytest.mark.skipif(
    not PAGE.is_file(), reason="these tests read the clone that the package was built from"
)


def test_the_tutorial_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MTSEARCH_DATA", raising=False)
    text = PAGE.read_text()
    for block in re.findall(r"^```yaml\n(.*?)^```$", text, re.M | re.S):
        name = block.splitlines()[0].removeprefix("# ")
        (tmp_path / name).write_text(block)
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)
    assert len(blocks) == 4
    threads, scope = torch.get_num_threads(), {}
    try:
        for number, block in enumerate(blocks, start=1):
            exec(compile(block, f"{PAGE}, block {number}", "exec"), scope)
    finally:
        torch.set_num_threads(threads)
    shown = capsys.readouterr().out
    assert "'model.pt2'" in shown and "{'shape': (2, 2), 'size': (2, 1)}" in shown
    assert load_space("my_space.yaml").config.search.trials == 12
