"""The cards of CelebA, NYUv2, Cityscapes and Office-Home on trees in the published form."""

import io

import numpy as np
import pytest
import torch
from fake import write_tree
from published import celeba, dense, office_home

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig
from mtsearch.data import open_dataset


def opened(folder, name, tree, **data):
    write_tree(folder, tree)
    return open_dataset(DataConfig(dataset=name, root=folder, **data))


def test_celeba_has_its_splits_and_attributes(tmp_path):
    tree, signs = celeba()
    dataset = opened(tmp_path, "celeba", tree, size=16)
    assert [len(split) for split in dataset.splits.values()] == [10, 10, 10]
    assert len(dataset.card.tasks) == 40 and dataset.splits["train"].images.shape[1:] == (3, 16, 16)
    for place, task in enumerate(dataset.card.tasks):
        found = dataset.splits["val"].labels[task.name]
        assert torch.equal(found, torch.from_numpy((signs[10:20, place] > 0).astype(np.int64)))
    assert dataset.card.tasks[0].name == "five_o_Clock_Shadow"
    assert dataset.splits["test"].images[:, 1, 0, 0].tolist() == list(range(20, 30))


def test_celeba_in_the_folders_of_its_archives(tmp_path):
    tree, _ = celeba(9)
    places = {"list_attr_celeba.txt": "Anno", "list_eval_partition.txt": "Eval"}
    moved = {}
    for name, content in tree.items():
        last = name.rpartition("/")[2]
        folder = places.get(last, "Img/img_align_celeba")
        moved[f"CelebA/{folder}/{last}"] = content
    dataset = opened(tmp_path, "celeba", moved, size=16)
    assert [len(split) for split in dataset.splits.values()] == [3, 3, 3]


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("list_attr_celeba.txt", b" Smiling ", b" Smile ", "has no `Smiling`.*Smile"),
        ("list_attr_celeba.txt", b"000003.jpg  ", b"000003.jpg 1 ", "Row 5 of list_attr"),
        ("list_eval_partition.txt", b"000003.jpg 1", b"000003.jpg 7", "0, 1 or 2"),
        ("list_eval_partition.txt", b"000003.jpg 1", b"000033.jpg 1", "which has no attributes"),
    ],
)
def test_damaged_lists_of_celeba_are_refused(tmp_path, file, old, new, message):
    tree, _ = celeba(6)
    tree[f"celeba/{file}"] = tree[f"celeba/{file}"].replace(old, new)
    with pytest.raises(BadInput, match=message):
        opened(tmp_path, "celeba", tree, size=16)


def test_missing_images_of_celeba_are_counted(tmp_path):
    tree, _ = celeba(6)
    del tree["celeba/img_align_celeba/000002.jpg"]
    with pytest.raises(BadInput, match=r"1 images .* such as 000002.jpg, .* unpack img_align"):
        opened(tmp_path, "celeba", tree, size=16)


def test_nyuv2_has_three_tasks_of_its_arrays(tmp_path):
    tree = dense("nyuv2", height=288, width=384, train=5, val=2)
    dataset = opened(tmp_path, "nyuv2", tree)
    assert [len(split) for split in dataset.splits.values()] == [4, 1, 2]
    test = dataset.splits["test"]

    def array(name):
        return np.load(io.BytesIO(tree[f"nyuv2/val/{name}/1.npy"]))

    image = torch.from_numpy(np.rint(array("image") * 255).astype(np.uint8))
    assert torch.equal(test.images[1], image.permute(2, 0, 1))
    assert torch.equal(test.labels["segmentation"][1], torch.from_numpy(array("label")).long())
    depth, vectors = array("depth")[..., 0], np.moveaxis(array("normal"), -1, 0)
    expected = torch.from_numpy(np.where(depth == 0, np.nan, depth)).float()
    assert torch.equal(test.labels["depth"][1, 0].nan_to_num(), expected.nan_to_num())
    assert test.labels["normal"][1, :, :, :2].isnan().all()
    found = test.labels["normal"][1].nan_to_num().numpy()
    assert found == pytest.approx(vectors, abs=1e-6)


def test_cityscapes_has_two_tasks(tmp_path):
    tree = dense("cityscapes2", height=128, width=256, classes=7, normal=False)
    dataset = opened(tmp_path, "cityscapes", tree)
    assert {name: v.shape for name, v in dataset.splits["test"].labels.items()} == {
        "segmentation": (3, 128, 256),
        "depth": (3, 1, 128, 256),
    }


def test_arrays_without_labels_are_refused(tmp_path):
    tree = dense("nyuv2", train=5, val=2)
    del tree["nyuv2/train/depth/3.npy"]
    with pytest.raises(BadInput, match=r"1 images .* train/image/3.npy, have no labels .* `depth`"):
        opened(tmp_path, "nyuv2", tree)


def test_office_home_has_a_task_for_each_domain(tmp_path):
    dataset = opened(tmp_path, "office_home", office_home(), size=12)
    assert [len(split) for split in dataset.splits.values()] == [780, 260, 260]
    train = dataset.splits["train"]
    known = torch.stack([train.labels[task.name] >= 0 for task in dataset.card.tasks])
    assert (known.sum(0) == 1).all() and known.sum(1).tolist() == [195] * 4
