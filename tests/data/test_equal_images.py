"""Remarks on the same image in two splits, and twice in one."""

from fake import write_tree
from test_table_files import config, tree

from mtsearch.data import prepare
from mtsearch.data.store import read_manifest


def remarks(folder, files):
    write_tree(folder, files)
    rows = read_manifest(prepare(config(folder)))["remarks"]
    return {row["text"]: (row["count"], row["example"]) for row in rows if "image" in row["text"]}


def test_sets_of_different_images_have_no_remark(tmp_path):
    assert remarks(tmp_path, tree()) == {}


def test_same_image_in_two_splits_is_named(tmp_path):
    files = tree()  # 0, 3, ... are of train, 1, 4, ... of val
    files["set/i/4.png"] = files["set/i/3.png"]
    files["set/i/9.png"] = files["set/i/6.png"]
    assert remarks(tmp_path, files) == {
        "images of val that are in train, too": (1, "i/4.png"),
        "images of train that occur there before": (1, "i/9.png"),
    }
