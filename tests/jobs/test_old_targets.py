"""Runs that were begun with plain targets of regressions are not continued with standardised."""

import pytest
import yaml

from mtsearch.config.errors import BadInput
from mtsearch.config.space import Space
from mtsearch.jobs.environment import concrete_data, environment_of


def table_space(folder, kind):
    lines = [f"{i},{i % 7},{i % 2}" for i in range(60)]
    (folder / "t.csv").write_text("\n".join(["a,b,y", *lines]) + "\n")
    task = {"name": "y", "kind": kind, **({"outputs": 2} if kind == "classification" else {})}
    source = {"kind": "vectors", "file": "t.csv", "test_fraction": 0.2}
    card = {"name": "t", "root": str(folder), "source": source, "tasks": [task]}
    (folder / "t.yaml").write_text(yaml.safe_dump(card))
    trial = {"backbone": {"name": "mlp", "widths": [4]}, "batch_size": 8}
    data = {"dataset": str(folder / "t.yaml"), "store": str(folder / "store")}
    return Space({"name": "t", "data": data, "trial": trial, "objectives": ["val/y/error"]})


def test_resume_refuses_runs_with_plain_targets(tmp_path):
    space = table_space(tmp_path, "regression")
    _, began = environment_of(space)
    assert began["targets"] == "standardised"
    concrete_data(space, began)
    old = {key: value for key, value in began.items() if key != "targets"}
    with pytest.raises(BadInput, match="trained regressions on plain targets"):
        concrete_data(space, old)


def test_resume_without_regressions_needs_no_targets(tmp_path):
    space = table_space(tmp_path, "classification")
    _, began = environment_of(space)
    assert "targets" not in began
    concrete_data(space, began)
