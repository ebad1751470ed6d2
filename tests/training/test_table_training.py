"""Training on columns of a table: read from memory or the store, limited, saved and restored."""

import math

import numpy as np
import pytest
import yaml

from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.training.trial import Trial

TASKS = [
    {"name": "kind", "classes": ["no", "yes"]},
    {"name": "cost", "kind": "regression"},
]


def table_data(folder, tasks=TASKS, gaps=False, **more):
    rng = np.random.default_rng(1)
    rows = ["age,income,kind,cost"]
    for i in range(100):
        kind = "" if gaps and i % 3 == 0 else ["no", "yes"][i % 2]
        cost = "" if gaps and i % 4 == 0 else f"{rng.normal(5000, 900):.1f}"
        rows.append(f"{rng.integers(20, 60)},{rng.normal(4e4, 9e3):.2f},{kind},{cost}")
    (folder / "t.csv").write_text("\n".join(rows) + "\n")
    source = {"kind": "vectors", "file": "t.csv", "test_fraction": 0.2}
    source["columns"] = ["age", "income"]
    card = {"name": "people", "root": str(folder), "source": source, "tasks": tasks}
    (folder / "people.yaml").write_text(yaml.safe_dump(card))
    return DataConfig(dataset=str(folder / "people.yaml"), store=folder / "store", **more)


def trial(data):
    settings = {
        "architecture": "hps",
        "backbone": {"name": "mlp", "widths": [8]},
        "epochs": {"search": 2, "retrain": 1},
        "batch_size": 16,
        "device": "cpu",
    }
    return Trial(TrialConfig.model_validate(settings), data)


def numbers(reports):
    return [
        {key: value for key, value in report.items() if key != "cost/seconds"} for report in reports
    ]


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("limit", [None, 30])
def test_streamed_tables_train_as_those_in_memory(tmp_path, limit, gaps):
    streamed = numbers(trial(table_data(tmp_path, gaps=gaps, limit=limit, load="stream")))
    memory = numbers(trial(table_data(tmp_path, gaps=gaps, limit=limit, load="memory")))
    assert streamed == memory
    assert all(math.isfinite(v) for v in memory[-1].values() if isinstance(v, float))


def test_restored_training_on_a_table_gives_the_same_reports(tmp_path):
    data = table_data(tmp_path, gaps=True)
    whole = numbers(trial(data))
    begun = trial(data)
    next(begun)
    begun.save(tmp_path / "state")
    resumed = Trial.restore(tmp_path / "state", data)
    list(resumed)
    assert numbers(resumed.reports) == whole


@pytest.mark.parametrize("number", [0, 1])
def test_one_task_of_a_table(tmp_path, number):
    trained = trial(table_data(tmp_path, tasks=TASKS[number : number + 1]))
    list(trained)
    name = TASKS[number]["name"]
    assert math.isfinite(trained.evaluate("test")[f"test/{name}/error"])
