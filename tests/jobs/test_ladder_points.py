"""A training with a sparsity ladder: rows, tests, exports, and the retrained lineage of a child."""

import json

import mtsearch
from mtsearch.jobs.restore import load_trial

SPACE = """
name: ladder
data: {dataset: patches10_digits, limit: 200}
objectives: [val/mean/error, model/nonzero]
trial:
  epochs: {search: 0, retrain: 1}
  optimizer: {name: adamw, lr: 0.003}
  pareto_set: {name: sparsity_ladder, levels: [0.5, 0.9], epochs: 1}
"""


def test_levels_are_rows_with_tests_and_exports(tmp_path):
    (tmp_path / "ladder.yaml").write_text(SPACE)
    overrides = {"results.root": str(tmp_path / "runs")}
    path = tmp_path / "ladder.yaml"
    run = mtsearch.train_one(path, overrides=overrides, test=True, progress=False)
    rows = list(run.trials)
    assert [row["trial"] for row in rows] == ["0000@00", "0000@01", "0000@02"]
    assert [row["trial.pareto_set.level"] for row in rows] == [0.0, 0.5, 0.9]
    assert {row["cost/steps"] for row in rows} == {rows[-1]["cost/steps"]}
    for row in rows:
        found = load_trial(run.directory, row["trial"]).evaluate("test")
        assert {key: row[key] for key in found} == found
    sizes = []
    for index in (0, 2):
        out = run.pick(f"trial:0000@{index:02d}").export(tmp_path / f"model{index}")
        sizes.append(json.loads((out / "card.json").read_text())["size"])
    assert sizes[1] != sizes[0]
    assert run.pick("preference", error=0.5, nonzero=0.5).preference is None
