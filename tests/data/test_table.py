"""A CSV with a row per image and a column per task."""

import io
import math

import numpy as np
import pytest
import torch
import yaml
from fake import write_tree, write_zip
from PIL import Image
from scenes import picture

from mtsearch.commands import prepare, train
from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig
from mtsearch.data import open_dataset, resolve
from mtsearch.data import prepare as prepare_store
from mtsearch.data.store import read_manifest
from mtsearch.runs.directory import RunDirectory
from mtsearch.testing import DatasetConformance

SHAPES, COLOURS = ("disc", "square", "star"), ("red", "green")
CARD = {
    "name": "things",
    "title": "Things",
    "source": {
        "kind": "table",
        "images": {
            "title": "Things",
            "names": ["things"],
            "test_fraction": 0.25,
            "resize": "bilinear",
        },
    },
    "tasks": [
        {"name": "shape", "outputs": 3, "classes": list(SHAPES)},
        {"name": "count", "outputs": 4},
        {"name": "size", "kind": "regression", "outputs": 1},
        {"name": "place", "kind": "regression", "outputs": 2},
    ],
    "shape": [3, 8, 8],
    "mean": [0.5, 0.5, 0.5],
    "std": [0.25, 0.25, 0.25],
    "val_fraction": 0.25,
    "licence": "none",
    "how_to_get": "make them",
}
HEAD = "path,shape,count,size,place_0,place_1"


def row(number):
    labels = f"{SHAPES[number % 3]},{number % 4},{number / 2},{number},-{number}"
    return f"{number % 3}/{number}.png,{labels}"


def files(rows, count=16, table="labels.csv"):
    """name -> bytes of the set, with images in folders without meaning."""
    pictures = {f"things/{number % 3}/{number}.png": picture(number) for number in range(count)}
    return {**pictures, f"things/{table}": "\n".join([HEAD, *rows]).encode()}


def config(folder, **source):
    """The configuration of the set in a folder, with a separate card."""
    card = {**CARD, "source": {**CARD["source"], **source}}
    (folder / "things.yaml").write_text(yaml.safe_dump(card))
    return DataConfig(dataset=str(folder / "things.yaml"), root=folder)


def made(folder, rows, count=16, **source):
    write_tree(folder, files(rows, count))
    return open_dataset(config(folder, **source))


@pytest.mark.parametrize("zipped", [False, True])
def test_rows_give_all_labels_of_their_images(tmp_path, zipped):
    rows = [row(number) for number in range(16)]
    if zipped:
        write_zip(
            tmp_path / "things.zip",
            {name.removeprefix("things/"): content for name, content in files(rows).items()},
        )
        dataset = open_dataset(config(tmp_path))
    else:
        dataset = made(tmp_path, rows)
    assert {name: len(split) for name, split in dataset.splits.items()} == {
        "train": 9,
        "val": 3,
        "test": 4,
    }
    seen = []
    for split in dataset.splits.values():
        for place, image in enumerate(split.images):
            number = int(split.labels["place"][place, 0])
            assert np.array_equal(image.numpy(), decoded(number))
            assert (
                split.labels["shape"][place] == number % 3
                and split.labels["count"][place] == number % 4
            )
            assert split.labels["size"][place].tolist() == [number / 2] and split.labels["place"][
                place
            ].tolist() == [number, -number]
            seen.append(number)
    assert sorted(seen) == list(range(16))


def decoded(number):
    return np.asarray(Image.open(io.BytesIO(picture(number))).convert("RGB")).transpose(2, 0, 1)


def test_empty_cells_are_missing_labels(tmp_path):
    rows = [row(number) for number in range(16)]
    rows[3] = " 0/3.png ,,,,, "
    write_tree(tmp_path, files(rows))
    path = tmp_path / "things" / "labels.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    dataset = open_dataset(config(tmp_path))
    labels = {
        name: torch.cat([split.labels[name] for split in dataset.splits.values()])
        for name in ("shape", "count", "size", "place")
    }
    assert (labels["shape"] == -1).sum() == (labels["count"] == -1).sum() == 1
    assert labels["size"].isnan().sum() == 1 and labels["place"].isnan().sum() == 2


def test_split_columns_are_kept_and_completed(tmp_path):
    words = ["train"] * 8 + ["val"] * 3 + ["Test"] * 5
    rows = [f"{row(number)},{word}" for number, word in enumerate(words)]

    def numbers(dataset, name):
        return sorted(int(value) for value in dataset.splits[name].labels["place"][:, 0])

    write_tree(
        tmp_path / "a",
        files(rows) | {"things/labels.csv": "\n".join([f"{HEAD},part", *rows]).encode()},
    )
    dataset = open_dataset(config(tmp_path / "a", split="part"))
    assert [numbers(dataset, name) for name in ("train", "val", "test")] == [
        [*range(8)],
        [*range(8, 11)],
        [*range(11, 16)],
    ]
    rows = [text.replace(",val", ",train") for text in rows]
    write_tree(
        tmp_path / "b",
        files(rows) | {"things/labels.csv": "\n".join([f"{HEAD},part", *rows]).encode()},
    )
    dataset = open_dataset(config(tmp_path / "b", split="part"))
    assert numbers(dataset, "test") == [*range(11, 16)] and len(dataset.splits["val"]) == 3
    assert sorted(numbers(dataset, "train") + numbers(dataset, "val")) == [*range(11)]


@pytest.mark.parametrize(
    ("number", "text", "sentence"),
    [
        (
            2,
            "1/77.png,disc,0,1,1,1",
            "Row 4 of labels.csv in .* names '1/77.png', but there is no such file",
        ),
        (2, "0/0.png,disc,0,1,1,1", "Rows 2 and 4 of .* name the same image, 0/0.png"),
        (
            2,
            "2/2.png,disk,0,1,1,1",
            "Row 4 of .* has the unknown class 'disk' of `shape`. Did you mean `disc`",
        ),
        (2, "2/2.png,disc,4,1,1,1", "Row 4 of .* should have a class 0..3 of `count`. Found '4'"),
        (
            2,
            "2/2.png,disc,0,big,1,1",
            "Row 4 of .* should have a number in `size`, or nothing. Found 'big'",
        ),
        (
            2,
            "2/2.png,disc,0,inf,1,1",
            "Row 4 of .* should have a number in `size`, or nothing. Found 'inf'",
        ),
        (
            2,
            "2/2.png,disc,0,1e300,1,1",
            "Row 4 of .* should have a number in `size`, or nothing. Found '1e300'",
        ),
        (2, "2/2.png,disc,0,1", r"Row 4 of .* has 4 cell\(s\), but there are 6 columns"),
        (2, "2/2.png,disc,0,1,1,1,1", r"Row 4 of .* has 7 cell\(s\), but there are 6 columns"),
    ],
)
def test_a_wrong_row_is_named(tmp_path, number, text, sentence):
    rows = [row(place) for place in range(16)]
    rows[number] = text
    with pytest.raises(BadInput, match=sentence):
        made(tmp_path, rows)


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_delimiters_are_read_with_a_remark(tmp_path, delimiter):
    rows = [row(place) for place in range(16)]
    write_tree(tmp_path, files(rows))
    table = "\r\n".join([HEAD, *rows]).replace(",", delimiter)
    (tmp_path / "things" / "labels.csv").write_text(table, newline="")
    manifest = read_manifest(prepare_store(config(tmp_path)))
    assert manifest["counts"] == {"train": 9, "val": 3, "test": 4}
    assert "tables whose columns are separated by" in manifest["remarks"][0]["text"]


def test_images_without_a_row_are_counted(tmp_path):
    write_tree(tmp_path, files([row(place) for place in range(16)], count=18))
    remarks = read_manifest(prepare_store(config(tmp_path)))["remarks"]
    (found,) = [r for r in remarks if "does not name were left out" in r["text"]]
    assert found["count"] == 2


@pytest.mark.parametrize(
    "content",
    [
        b"path,shape\n\x00,disc\n",
        "path,shape\n\u00e9.png,disc\n".encode("latin-1"),
        b'path,shape\n"0/0.png,disc\n',
        "path,shape\n0/0.png,disc\n".encode("utf-16"),
        b"path,count\n0/0.png," + b"9" * 5000,
        b"path," + b"x" * 200_000,
    ],
    ids=["nul", "latin-1", "open quote", "utf-16", "huge number", "huge field"],
)
def test_damaged_tables_end_in_one_sentence(tmp_path, content):
    write_tree(tmp_path, files([]) | {"things/labels.csv": content})
    with pytest.raises(BadInput):
        open_dataset(config(tmp_path))


def test_a_wrong_table_is_named(tmp_path):
    rows = [row(place) for place in range(16)]
    for source, sentence in (
        ({"file": "label.csv"}, "There is no label.csv in .*Did you mean `labels.csv`"),
        ({"path": "file"}, "has no column `file`"),
        ({"split": "part"}, "has no column `part`"),
        ({"split": "shape"}, "Row 2 of .* should be of train, val or test. Found 'disc'"),
        (
            {"images": {"title": "Things", "names": ["things"]}},
            "names no test examples; add `test_fraction`",
        ),
        (
            {"images": {**CARD["source"]["images"], "folds": True}},
            "`images.folds` has no effect with a table",
        ),
    ):
        with pytest.raises(BadInput, match=sentence):
            made(tmp_path, rows, **source)
    for few, sentence in (
        ([], "has no rows"),
        (rows[:1], r"The 1 row\(s\) of .* leave no examples for val; add some"),
    ):
        with pytest.raises(BadInput, match=sentence):
            made(tmp_path, few)
    (tmp_path / "things" / "labels.csv").write_text("path,shape,shape\n0/0.png,disc,star\n")
    with pytest.raises(BadInput, match="has two columns `shape`; keep one"):
        open_dataset(config(tmp_path))
    (tmp_path / "things" / "labels.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="not a CSV in UTF-8"):
        open_dataset(config(tmp_path))


def test_unreadable_images_are_named_with_their_row(tmp_path):
    rows = [row(place) for place in range(16)]
    write_tree(tmp_path, files([*rows[:2], "", ",,,,,", *rows[2:]]) | {"things/1/4.png": b"text"})
    with pytest.raises(
        BadInput,
        match=(
            r"The image 1/4.png of row 8 of labels.csv in .* cannot be read \(it is not an image\)"
        ),
    ):
        open_dataset(config(tmp_path))


def test_unsupported_tasks_and_folds_are_refused(tmp_path):
    write_tree(tmp_path, files([row(place) for place in range(16)]))
    data = config(tmp_path)
    with pytest.raises(BadInput, match=r"`data.fold` should be left out with `things`"):
        open_dataset(data.model_copy(update={"fold": 1}))
    (tmp_path / "masks.yaml").write_text(
        yaml.safe_dump({**CARD, "tasks": [{"name": "shape", "kind": "segmentation", "outputs": 3}]})
    )
    with pytest.raises(
        BadInput,
        match=r"Row 2 of labels.csv in .* names 'disc' in `shape`, but there is no such file",
    ):
        open_dataset(DataConfig(dataset=str(tmp_path / "masks.yaml"), root=tmp_path))


def test_archives_may_have_one_top_folder(tmp_path):
    content = files([row(place) for place in range(16)])
    for folder in "abc":
        (tmp_path / folder).mkdir()
    write_zip(tmp_path / "a" / "things.zip", content)
    write_zip(
        tmp_path / "b" / "things.zip",
        {f"./{name.removeprefix('things/')}": data for name, data in content.items()},
    )
    write_zip(tmp_path / "c" / "things.zip", content | {"more/labels.csv": b"path"})
    for folder in "ab":
        assert len(open_dataset(config(tmp_path / folder)).splits["train"]) == 9
    with pytest.raises(
        BadInput,
        match=(
            r"contains more/labels.csv and things/labels.csv; say in the data card which one"
            r" `file` is"
        ),
    ):
        open_dataset(config(tmp_path / "c"))


def test_class_folders_precede_unsorted_files(tmp_path):
    write_tree(
        tmp_path,
        {
            f"things/things/{name}/{number}.png": picture(number)
            for name in SHAPES
            for number in range(4)
        },
    )
    write_tree(tmp_path, {"things/list.csv": b"a", "things/preview.png": picture(1)})
    card = {
        **CARD,
        "source": {"kind": "classification", "images": CARD["source"]["images"]},
        "tasks": CARD["tasks"][:1],
    }
    (tmp_path / "plain.yaml").write_text(yaml.safe_dump(card))
    assert (
        len(
            open_dataset(DataConfig(dataset=str(tmp_path / "plain.yaml"), root=tmp_path)).splits[
                "test"
            ]
        )
        == 3
    )


def test_unsorted_images_need_a_table(tmp_path):
    write_tree(tmp_path / "a", files([row(place) for place in range(16)]))
    plain = {"kind": "classification", "images": CARD["source"]["images"]}
    flat = {f"things/{name.rpartition('/')[2]}": content for name, content in files([]).items()}
    write_tree(tmp_path / "b", flat)
    card = {**CARD, "source": plain, "tasks": CARD["tasks"][:1]}
    (tmp_path / "plain.yaml").write_text(yaml.safe_dump(card))
    with pytest.raises(
        BadInput, match=r"are not in folders of classes; name the CSV .*kind: table"
    ):
        open_dataset(DataConfig(dataset=str(tmp_path / "plain.yaml"), root=tmp_path / "b"))
    write_tree(
        tmp_path / "c", {name.removeprefix("things/"): content for name, content in flat.items()}
    )
    with pytest.raises(BadInput, match="contains no Things"):
        resolve(DataConfig(dataset=str(tmp_path / "plain.yaml"), root=tmp_path / "c"))


def test_a_table_is_trained_on(tmp_path, capsys):
    write_tree(
        tmp_path,
        files(
            [
                row(place) if place % 5 else f"{place % 3}/{place}.png,,{place % 4},,,"
                for place in range(16)
            ]
        ),
    )
    data = config(tmp_path)
    assert prepare.main([f"dataset={data.dataset}", f"data.root={tmp_path}", "data.size=16"]) == 0
    assert "things from Things" in capsys.readouterr().out
    words = [
        "space=pareto_cm",
        f"data.dataset={data.dataset}",
        f"data.root={tmp_path}",
        f"results.root={tmp_path}/results",
        "data.size=16",
    ]
    more = [
        "objectives=[val/shape/error, val/size/error]",
        "trial.epochs={search: 1, retrain: 0}",
        "trial.batch_size=4",
        "trial.sparsity=none",
    ]
    assert (
        train.main(
            [
                *words,
                *more,
                "trial.preference=null",
                "trial.architecture=hps",
                "trial.augment={}",
                "controls={}",
            ]
        )
        == 0
    )
    (report,) = RunDirectory(
        capsys.readouterr().out.splitlines()[-1].removeprefix("run: ")
    ).history()
    for task in ("shape", "count", "size", "place"):
        assert math.isfinite(report[f"val/{task}/error"])


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    write_tree(folder, files([row(place) for place in range(16)]))
    return folder


class TestTable(DatasetConformance):
    statistics = 1.0

    @pytest.fixture(autouse=True)
    def _data(self, root):
        type(self).data = config(root)
