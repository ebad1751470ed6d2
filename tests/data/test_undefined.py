"""Undefined pixels are left out of training, or are a class."""

from pathlib import Path

import pytest
import torch
import yaml

from mtsearch.commands import prepare
from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig
from mtsearch.data import load_card, open_dataset, resolve
from mtsearch.data.configured import configured_card


@pytest.mark.parametrize(
    ("name", "classes"), [("drawn_scenes_masks", 5), ("gid_mtl5", 5), ("gid_mtl15", 15)]
)
def test_undefined_pixels_are_ignored_or_last_class(name, classes):
    ignored, trained = (
        configured_card(name, DataConfig(dataset=name, undefined=how))
        for how in ("ignore", "class")
    )
    pixels = ignored.tasks[1]
    assert (pixels.outputs, pixels.ignore, pixels.undefined) == (classes, classes, classes)
    pixels = trained.tasks[1]
    assert (pixels.outputs, pixels.ignore, pixels.undefined, pixels.classes[-1]) == (
        classes + 1,
        -1,
        classes,
        "undefined",
    )
    assert trained.tasks[0] == ignored.tasks[0]


def test_undefined_is_refused_without_undefined_pixels():
    with pytest.raises(BadInput, match=r"`data\.undefined` should be left out with `drawn_scenes`"):
        configured_card("drawn_scenes", DataConfig(dataset="drawn_scenes", undefined="class"))


def member_card(folder, **changes):
    """A disjoint set of one member, which is a card of its own with undefined pixels."""
    member = {"card": "drawn_scenes_masks", "tasks": ["scene", "pixels"], **changes}
    own = load_card("drawn_scenes_masks").model_dump(mode="json")
    path = folder / "member.yaml"
    path.write_text(
        yaml.safe_dump(
            {**own, "name": "member", "source": {"kind": "disjoint", "members": [member]}}
        )
    )
    return str(path)


@pytest.mark.parametrize("named", [True, False])
def test_undefined_pixels_of_members_become_a_class(tmp_path, named):
    """Without classes' names, numbers are matched: the member has no counterpart of the class that
    `data.undefined` adds."""
    card = member_card(tmp_path)
    if not named:
        tree = yaml.safe_load(Path(card).read_text())
        tree["tasks"] = [{**task, "classes": []} for task in tree["tasks"]]
        Path(card).write_text(yaml.safe_dump(tree))
    alone, ignored, trained = (
        open_dataset(
            DataConfig(dataset=name, undefined=how, size=16, root=tmp_path, store=tmp_path / str(i))
        )
        .splits["test"]
        .labels["pixels"]
        for i, (name, how) in enumerate(
            (("drawn_scenes_masks", "class"), (card, "ignore"), (card, "class"))
        )
    )
    assert (alone == 5).any() and torch.equal(trained.long(), alone.long())
    # The numbers are equal, but there 5 means ignored.
    assert torch.equal(ignored.long(), alone.long())


def test_member_labels_out_of_range_are_refused(tmp_path):
    tree = load_card("drawn_scenes_masks").model_dump(mode="json")
    short = {**tree["tasks"][1], "outputs": 4, "classes": []}
    (tmp_path / "short.yaml").write_text(
        yaml.safe_dump({**tree, "name": "short", "tasks": [tree["tasks"][0], short]})
    )
    card = member_card(tmp_path, card=str(tmp_path / "short.yaml"))
    with pytest.raises(
        BadInput, match=r"labels of task `pixels` of `short` should lie in 0\.\.3\. Found 0\.\.4"
    ):
        open_dataset(DataConfig(dataset=card, size=16, root=tmp_path))


def test_stores_with_undefined_class_can_be_prepared(tmp_path, capsys):
    assert (
        prepare.main(
            [
                "dataset=drawn_scenes_masks",
                "data.undefined=class",
                "data.size=16",
                f"data.store={tmp_path}",
            ]
        )
        == 0
    )
    made = capsys.readouterr().out.splitlines()[-1].removeprefix("store: ")
    assert resolve(
        DataConfig(dataset="drawn_scenes_masks", undefined="class", size=16, store=tmp_path)
    ).store == Path(made)
    assert (
        resolve(DataConfig(dataset="drawn_scenes_masks", size=16, store=tmp_path)).checksum is None
    )
