"""Export of networks on columns, and predictions for new tables."""

import csv
import json

import numpy as np
import pytest
import torch
import yaml

from mtsearch.config import schema
from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig
from mtsearch.data import open_dataset
from mtsearch.data.columns import read_columns
from mtsearch.deploy.examples import TableRows, need_arrays, need_images
from mtsearch.deploy.export import export_model
from mtsearch.deploy.exported import open_export
from mtsearch.deploy.prediction_table import predict_table
from mtsearch.deploy.predictor import Predictor
from mtsearch.models import build_model
from mtsearch.training.loaders import make_batches

CPU = torch.device("cpu")
COUNT = 50


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A dataset of columns, a network on it, and its export."""
    folder = tmp_path_factory.mktemp("columns")
    rng = np.random.default_rng(0)
    rows = ["age,income,city,kind,cost"]
    for i in range(COUNT):
        city = ["bern", "oslo", ""][i % 3]
        rows.append(f"{20 + i},{rng.normal(40000, 9000):.2f},{city},{'ny'[i % 2]},{i / 7:.3f}")
    (folder / "t.csv").write_text("\n".join(rows) + "\n")
    source = {"kind": "vectors", "file": "t.csv", "columns": ["age", "income"]}
    source |= {"categories": {"city": ["bern", "oslo"]}, "missing": "mean", "test_fraction": 0.2}
    kind, cost = {"name": "kind", "classes": ["n", "y"]}, {"name": "cost", "kind": "regression"}
    card = {"name": "t", "root": str(folder), "source": source, "tasks": [kind, cost]}
    (folder / "card.yaml").write_text(yaml.safe_dump(card))
    dataset = open_dataset(DataConfig(dataset=str(folder / "card.yaml")))
    torch.manual_seed(0)
    tasks, shape = dataset.card.tasks, dataset.card.shape
    model = build_model(
        schema.HPSConfig(), schema.BackboneMLPConfig(widths=(16, 8)), tasks, shape
    ).eval()
    with torch.no_grad():
        model.get_submodule(model.prunable[0]).weight[:, ::2] = 0
    export_model(model, dataset, tasks, folder / "export", {})
    return folder, dataset, model


def test_predictions_for_a_table_are_those_of_the_validation(made):
    folder, dataset, model = made
    table = read_columns(folder / "t.csv", "t.csv")
    network = open_export(folder / "export", CPU)
    rows = TableRows(table, need_arrays(network.preprocessing))
    values, wrong = rows.read(0, COUNT)
    assert not wrong
    outputs = network.forward(torch.stack([values[i] for i in range(COUNT)]))
    by_input = {tuple(values[i].tolist()): i for i in range(COUNT)}
    val = dataset.splits["val"]
    places = [by_input[tuple(x.flatten().tolist())] for x in val.images]
    (x, _), *_ = make_batches(dataset, val, COUNT, CPU)
    with torch.no_grad():
        expected = model(x)
    for name in ("kind", "cost"):
        assert torch.allclose(outputs[name][places], expected[name], rtol=1e-4, atol=1e-5)


def test_data_frames_and_arrays_give_the_same_predictions(made):
    _, dataset, model = made
    predictor = Predictor(model, dataset, dataset.card.tasks)
    frame = {"city": ["oslo", None], "income": [1000.5, 2000.0], "age": [30, 31], "more": ["", "x"]}
    one = predictor.predict(frame)
    fill = dataset.inputs.fill[2:]
    two = predictor.predict(np.array([[30, 1000.5, 0, 1], [31, 2000.0, *fill]]))
    for first, second in zip(one, two, strict=True):
        assert first["cost"].value == pytest.approx(second["cost"].value)
        assert first["kind"].probabilities == pytest.approx(second["kind"].probabilities)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (np.zeros((2, 3)), r"shape \(N, 4\). Found \(2, 3\)"),
        (np.full((1, 4), np.nan), "finite numbers"),
        (["x.png"], "reads arrays. Found a path"),
        ({"age": [1], "income": [2]}, "no column `city`"),
        ({"age": [1], "income": [2], "city": ["rome"]}, "unknown value 'rome' of `city`"),
        (7, "a data frame or a mapping of columns. Found int"),
    ],
)
def test_wrong_arrays_are_refused(made, given, sentence):
    _, dataset, model = made
    with pytest.raises(BadInput, match=sentence):
        Predictor(model, dataset, dataset.card.tasks).predict(given)


def test_bad_rows_have_a_reason(made, tmp_path):
    folder, _, _ = made
    (tmp_path / "new.csv").write_text("age,income,city\n30,1e3,oslo\nx,1e3,oslo\n31,inf,bern\n")
    network = open_export(folder / "export", CPU)
    table = read_columns(tmp_path / "new.csv", "new.csv")
    rows = TableRows(table, need_arrays(network.preprocessing))
    done = predict_table(network, rows, tmp_path / "p.csv", batch=2)
    assert (done.images, done.failed) == (3, 2)
    with open(done.table) as file:
        found = list(csv.DictReader(file))
    assert [row["row"] for row in found] == ["2", "3", "4"]
    assert found[0]["error"] == "" and float(found[0]["cost/value"]) != 0
    assert "number in `age`" in found[1]["error"] and "finite number" in found[2]["error"]


def test_card_of_an_export_names_the_columns(made):
    folder, dataset, _ = made
    card = json.loads((folder / "export" / "card.json").read_text())
    assert card["input"]["shape"] == ["batch", 4]
    assert card["preprocess"] == {"arrays": dataset.inputs.as_dict()}
    text = (folder / "export" / "card.md").read_text()
    assert "`age`, `income`, `city=bern`, `city=oslo`" in text and "torch.rand(7, 4)" in text
    with pytest.raises(BadInput, match="this one reads age, income"):
        need_images(open_export(folder / "export", CPU).preprocessing)
