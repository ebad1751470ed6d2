"""Vectors of numbers from the columns of a table."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig
from mtsearch.data import open_dataset, prepare
from mtsearch.data.array_inputs import ArrayInputs
from mtsearch.data.store import read_manifest
from mtsearch.training.loaders import make_batches

COUNT = 60
TASKS = [
    {"name": "kind", "classes": ["no", "yes"]},
    {"name": "cost", "kind": "regression"},
]


def table(count=COUNT):
    rng = np.random.default_rng(1)
    return {
        "age": rng.integers(20, 60, count).tolist(),
        "income": (rng.normal(40000, 9000, count)).round(2).tolist(),
        "city": [["bern", "oslo", "rome"][i % 3] for i in range(count)],
        "kind": [["no", "yes"][i % 2] for i in range(count)],
        "cost": rng.normal(5, 2, count).round(3).tolist(),
        "split": (["train"] * 6 + ["val"] * 2 + ["test"] * 2) * (count // 10),
    }


def write_csv(path, columns):
    lines = [",".join(columns)]
    lines += [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    path.write_text("\n".join(lines) + "\n")


def card(tmp_path, tasks=TASKS, file="t.csv", **source):
    known = {"kind": "vectors", "file": file, "split": "split", "columns": ["age", "income"]}
    tree = {"name": "people", "root": str(tmp_path), "source": known | source, "tasks": tasks}
    tree["source"] = {k: v for k, v in tree["source"].items() if v is not None}
    place = tmp_path / "people.yaml"
    place.write_text(yaml.safe_dump(tree))
    return str(place)


def opened(tmp_path, load="memory", **source):
    return open_dataset(DataConfig(dataset=card(tmp_path, **source), load=load))


def test_columns_become_vectors(tmp_path):
    columns = table()
    write_csv(tmp_path / "t.csv", columns)
    data = opened(tmp_path, categories={"city": ["oslo", "bern", "rome"]})
    train = [i for i in range(COUNT) if columns["split"][i] == "train"]
    images = data.splits["train"].images
    assert images.dtype == torch.float32 and images.shape == (len(train), 5, 1, 1)
    expected = [[columns["age"][i], columns["income"][i]] for i in train]
    assert torch.equal(images[:, :2, 0, 0], torch.tensor(expected))
    cities = [["oslo", "bern", "rome"].index(columns["city"][i]) for i in train]
    assert images[:, 2:, 0, 0].argmax(1).tolist() == cities
    assert data.card.shape == (5, 1, 1)
    assert data.inputs.features == ("age", "income", "city=oslo", "city=bern", "city=rome")
    np.testing.assert_allclose(data.mean, images.double().mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(data.std, images.double().std((0, 2, 3), correction=0), rtol=1e-9)


@pytest.mark.parametrize("load", ["memory", "stream"])
def test_batches_are_standardised_and_leave_the_data(tmp_path, load):
    write_csv(tmp_path / "t.csv", table())
    data = opened(tmp_path, load)
    split = data.splits["train"]
    for _ in range(2):  # a batch that changed the data in place would differ the second time
        parts = [x for x, _ in make_batches(data, split, 7, torch.device("cpu"))]
        found = torch.cat(parts)[:, :, 0, 0].double()
        assert found.mean(0).abs().max() < 1e-6
        assert (found.std(0, correction=0) - 1).abs().max() < 1e-5


def test_streamed_batches_are_those_in_memory(tmp_path):
    write_csv(tmp_path / "t.csv", table())
    passes = []
    for load in ("memory", "stream"):
        data = opened(tmp_path, load)
        batches = make_batches(data, data.splits["train"], 7, torch.device("cpu"))
        passes.append(list(batches.shuffled(torch.Generator().manual_seed(3), workers=0)))
    for (one, labels), (two, others) in zip(*passes, strict=True):
        assert torch.equal(one, two)
        assert all(torch.equal(labels[name], others[name]) for name in labels)


def test_parquet_gives_the_vectors_of_csv(tmp_path):
    columns = table()
    write_csv(tmp_path / "t.csv", columns)
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    cities = {"city": ["oslo", "bern", "rome"]}
    one = opened(tmp_path, categories=cities)
    two = opened(tmp_path, file="t.parquet", categories=cities)
    assert torch.equal(one.splits["val"].images, two.splits["val"].images)
    for name in ("kind", "cost"):
        assert torch.equal(one.splits["val"].labels[name], two.splits["val"].labels[name])


def test_all_other_numeric_columns_are_inputs(tmp_path):
    columns = table()
    write_csv(tmp_path / "t.csv", {k: v for k, v in columns.items() if k != "city"})
    assert opened(tmp_path, columns=None).inputs.columns == ("age", "income")


@pytest.mark.parametrize(("missing", "expected"), [("mean", 40.0), ("zero", 0.0)])
def test_missing_cells_become_the_mean_of_the_training_split_or_zero(tmp_path, missing, expected):
    columns = table()
    columns["age"] = [30 if s == "train" else 99 for s in columns["split"]]
    columns["age"][0:2] = ["", 70]  # train: one missing, one 70, 34 of 30
    train = [v for v, s in zip(columns["age"], columns["split"], strict=True) if s == "train"]
    columns["age"][6] = ""  # val
    write_csv(tmp_path / "t.csv", columns)
    data = opened(tmp_path, missing=missing)
    mean = sum(v for v in train if v != "") / sum(1 for v in train if v != "")
    value = mean if missing == "mean" else 0.0
    assert data.splits["train"].images[0, 0].item() == pytest.approx(value)
    assert data.splits["val"].images[0, 0].item() == pytest.approx(value)
    assert data.inputs.fill[0] == pytest.approx(value)


def test_constant_columns_are_not_scaled(tmp_path):
    write_csv(tmp_path / "t.csv", table() | {"age": [0.1] * COUNT})
    data = opened(tmp_path)
    assert data.std[0] == 1
    x, _ = next(iter(make_batches(data, data.splits["test"], 4, torch.device("cpu"))))
    assert x[:, 0].abs().max() < 1e-6


@pytest.mark.parametrize(
    ("changes", "source", "sentence"),
    [
        ({"age": ["x", *[1] * (COUNT - 1)]}, {}, r"Row 2 of t.csv.* a number in `age`.* 'x'"),
        ({"age": ["inf", *[1] * (COUNT - 1)]}, {}, r"Row 2 of t.csv.* finite number.*`age`.* inf"),
        ({"age": ["", "", *[1] * (COUNT - 2)]}, {}, r"60 rows, of which inputs lack.*`age` 2\. .*"),
        ({}, {"columns": ["age", "city"]}, r"`city` .* contains texts \('bern', .*3 differ.*categ"),
        ({}, {"columns": None}, r"`city` .* contains texts"),
        ({}, {"columns": ["age", "cost"]}, r"`cost` .* is an input and the label of `cost`"),
        ({}, {"columns": ["age", "split"]}, r"`split` .* is an input and the split"),
        ({}, {"columns": ["aeg"]}, r"no column `aeg`. Did you mean `age`"),
        (
            {},
            {"categories": {"city": ["bern", "oslo"]}},
            r"Row 4 .* unknown value 'rome' of `city`",
        ),
        ({}, {"categories": {"age": ["1"]}}, r"`age` .* is in `columns` and in `categories`"),
        ({}, {"split": None}, r"names no test examples; add `test_fraction` to `source`"),
        ({}, {"file": "u.csv"}, r"contains no u.csv"),
        ({}, {"file": "t.txt"}, r"should end in .csv, .tsv, .parquet"),
    ],
)
def test_wrong_tables_are_refused_in_a_sentence(tmp_path, changes, source, sentence):
    write_csv(tmp_path / "t.csv", table() | changes)
    write_csv(tmp_path / "t.txt", table())
    with pytest.raises(BadInput, match=sentence):
        prepare(DataConfig(dataset=card(tmp_path, **source)))


def test_all_mistakes_of_a_table_are_listed(tmp_path):
    columns = table()
    columns["age"][3], columns["kind"][5] = "old", "maybe"
    write_csv(tmp_path / "t.csv", columns)
    with pytest.raises(BadInput, match=r"(?s)unknown class 'maybe'.*number in `age`.*'old'"):
        prepare(DataConfig(dataset=card(tmp_path)))


def test_arrays_are_not_augmented(tmp_path):
    from mtsearch.config.schema import Augment

    write_csv(tmp_path / "t.csv", table())
    data = opened(tmp_path)
    with pytest.raises(BadInput, match=r"`trial.augment` .* Found inputs of type"):
        make_batches(data, data.splits["train"], 4, torch.device("cpu"), Augment(flip=True))


def test_inputs_survive_the_manifest(tmp_path):
    write_csv(tmp_path / "t.csv", table())
    config = DataConfig(dataset=card(tmp_path, categories={"city": ["oslo", "bern", "rome"]}))
    entry = read_manifest(prepare(config))["inputs"]
    assert ArrayInputs.from_dict(entry).as_dict() == entry
    with pytest.raises(ValueError, match="features for shape"):
        ArrayInputs.from_dict(entry | {"shape": [4]})
