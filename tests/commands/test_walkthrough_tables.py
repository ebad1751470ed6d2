"""The walk-through of `docs/own_tables.md`: a table without pictures."""

import random
import subprocess
import sys

import pyarrow.csv
import pytest

import mtsearch

pytestmark = pytest.mark.slow

QUICK = ("search.trials=2", "trial.epochs={search: 1, retrain: 1}", "controls={}")


def write(path, count=400):
    random.seed(0)
    rows = ["id,age,income,city,default,limit"]
    for number in range(count):
        age, income = random.randint(20, 70), random.gauss(40000, 9000)
        city = random.choice(["bern", "oslo"])
        default = int(income < 38000)
        cells = [number, age, "" if random.random() < 0.1 else f"{income:.1f}", city, default]
        rows.append(",".join(map(str, [*cells, f"{2.5 * income + 100 * age:.0f}"])))
    path.write_text("\n".join(rows))


def call(folder, *words, code=0):
    done = subprocess.run(
        [sys.executable, "-m", "mtsearch", *words], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == code, done.stderr[-2000:]
    return done.stdout if code == 0 else done.stderr


def test_a_table_is_searched_from_an_empty_folder(tmp_path):
    write(tmp_path / "clients.csv")
    found = call(tmp_path, "init", "clients.csv", "tasks=[default,limit]")
    assert "id: left out, because it numbers the rows" in found
    assert "city: 2 categories" in found and "limit: regression" in found
    assert "standardised" in call(tmp_path, "prepare", "dataset=clients.yaml")
    shown = call(tmp_path, "run", "space=clients_space.yaml", *QUICK)
    run = shown.strip().splitlines()[-1].removeprefix("run: ")
    result = mtsearch.load_run(tmp_path / run)
    assert "val/limit/mae" in result.front.to_pandas().columns
    call(tmp_path, "export", f"run={run}", "out=net")
    call(tmp_path, "predict", "model=net", "table=clients.csv", "to=answers.parquet")
    refused = call(tmp_path, "predict", "model=net", "images=clients.csv", code=2)
    assert "this one reads age, income" in refused
    frame = pyarrow.csv.read_csv(tmp_path / "clients.csv")
    predicted = result.pick().load().predict(frame)
    assert len(predicted) == 400 and predicted[0]["default"].label in ("0", "1")
    limits = [row["limit"].value for row in predicted]
    assert 50_000 < sum(limits) / len(limits) < 150_000  # in the unit of the labels
