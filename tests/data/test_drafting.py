"""Drafts of data cards from tables and folders."""

import pytest
import torch
import yaml
from fake import write_tree
from scenes import picture

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig
from mtsearch.data import open_dataset
from mtsearch.data.drafting import draft_card


def table(folder, head, rows, delimiter=","):
    pictures = {f"things/{number}.png": picture(number) for number in range(len(rows))}
    lines = [head, *(f"{number}.png,{row}" for number, row in enumerate(rows))]
    write_tree(
        folder,
        {**pictures, "things/t.csv": "\n".join(lines).replace(",", delimiter).encode()},
    )
    return draft_card(folder / "things" / "t.csv")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_columns_of_a_table_become_tasks(tmp_path, delimiter):
    rows = [
        f"{'ab'[i % 2]},{i % 3},{i / 7 if i % 4 else ''},text {i},same,{['train', 'test'][i > 15]}"
        for i in range(24)
    ]
    head = "file,kind of,5_size,width,note,equal,split"
    draft = table(tmp_path, head, rows, delimiter)
    assert draft.card["tasks"] == [
        {"name": "kind_of", "column": "kind of", "classes": ["a", "b"]},
        {"name": "task_5_size", "column": "5_size", "classes": ["0", "1", "2"]},
        {"name": "width", "kind": "regression"},
    ]
    source = draft.card["source"]
    assert source["split"] == "split" and source["path"] == "file"
    assert "test_fraction" not in source["images"]
    notes = "\n".join(draft.notes)
    assert "25 % missing" in notes and "24 different texts" in notes and "equal" in notes
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(draft.card))
    dataset = open_dataset(DataConfig(dataset=str(tmp_path / "card.yaml"), val_fraction=0.25))
    assert len(dataset.splits["test"]) == 8 and len(dataset.splits["train"]) == 12


def test_folders_of_classes_become_one_task(tmp_path):
    write_tree(tmp_path, {f"set/{'ab'[i % 2]}/{i}.png": picture(i) for i in range(20)})
    draft = draft_card(tmp_path / "set")
    assert draft.card["tasks"] == [{"name": "label", "classes": ["a", "b"]}]
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(draft.card))
    dataset = open_dataset(DataConfig(dataset=str(tmp_path / "card.yaml")))
    assert sum(map(len, dataset.splits.values())) == 20
    assert len(dataset.mean) == 3 and min(dataset.std) > 0


def test_data_without_a_task_are_refused(tmp_path):
    with pytest.raises(BadInput, match="There is no"):
        draft_card(tmp_path / "nothing")
    with pytest.raises(BadInput, match=r"No column .* can be a task"):
        table(tmp_path, "file,a", ["1"] * 5)
    (tmp_path / "things" / "t.csv").write_text("x,y\n1.jpg,2\n3.jpg,4\n")
    with pytest.raises(BadInput, match="`x` names files that are not there"):
        draft_card(tmp_path / "things")


def test_all_mistakes_of_a_card_and_a_table_are_listed(tmp_path):
    draft = table(tmp_path, "file,a,b", [f"{'xy'[i % 2]},{i + 0.5}" for i in range(20)])
    card = {**draft.card, "shape": [3, 0, 8], "val_fraction": 2, "tasks": [{"name": "mean"}]}
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(card))
    with pytest.raises(BadInput) as error:
        open_dataset(DataConfig(dataset=str(tmp_path / "card.yaml")))
    assert all(f"`{key}" in str(error.value) for key in ("shape", "val_fraction", "tasks[0]"))
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(draft.card))
    file = tmp_path / "things" / "t.csv"
    file.write_text(file.read_text().replace("3.png,y,3.5", "30.png,z,much"))
    with pytest.raises(BadInput) as error:
        open_dataset(DataConfig(dataset=str(tmp_path / "card.yaml")))
    assert all(word in str(error.value) for word in ("30.png", "'z'", "'much'"))


def test_tags_are_found_and_read(tmp_path):
    cells = ["x; y", "y", "-", "", "x|y", "x"]
    draft = table(tmp_path, "file,tags", [cells[i % 6] for i in range(30)])
    (task,) = draft.card["tasks"]
    assert task == {"name": "tags", "kind": "multilabel", "classes": ["x", "y"]}
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(draft.card))
    dataset = open_dataset(DataConfig(dataset=str(tmp_path / "card.yaml")))
    labels = torch.cat([split.labels["tags"] for split in dataset.splits.values()])
    expected = {(1.0, 1.0): 10, (0.0, 1.0): 5, (0.0, 0.0): 5, (1.0, 0.0): 5}
    rows = [tuple(row) for row in labels.tolist()]
    assert {key: rows.count(key) for key in expected} == expected
    assert int(labels.isnan().all(1).sum()) == 5
