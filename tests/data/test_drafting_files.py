"""Columns of files in tables without a card."""

import numpy as np
import yaml
from fake import write_tree
from test_table_files import COUNT, HEIGHT, WIDTH, png, tree

from mtsearch.commands import init, prepare


def drafted(folder, files, capsys):
    write_tree(folder, files)
    assert init.main([str(folder / "set"), f"to={folder}"]) == 0
    card = yaml.safe_load((folder / "set.yaml").read_text())
    return {task["name"]: task for task in card["tasks"]}, capsys.readouterr().out


def test_columns_of_files_become_dense_tasks(tmp_path, capsys):
    tasks, out = drafted(tmp_path, tree(), capsys)
    assert tasks == {
        "mask": {"name": "mask", "kind": "segmentation", "outputs": 3},
        "depth": {"name": "depth", "kind": "depth"},
        "normal": {"name": "normal", "kind": "normals"},
        "clean": {"name": "clean", "kind": "restoration", "outputs": 3},
    }
    assert "mask: segmentation, classes 0..2 in the masks" in out
    assert prepare.main([f"dataset={tmp_path / 'set.yaml'}"]) == 0


def test_masks_with_255_have_unlabelled_pixels(tmp_path, capsys):
    files = tree()
    for number in range(COUNT):
        mask = np.full((HEIGHT, WIDTH), number % 5, np.uint8)
        mask[0] = 255
        files[f"set/m/{number}.png"] = png(mask)
    tasks, _ = drafted(tmp_path, files, capsys)
    assert tasks["mask"] == {"name": "mask", "kind": "segmentation", "ignore": 255, "outputs": 5}
