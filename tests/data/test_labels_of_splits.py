"""Splits without labels are refused; equal labels and single classes give finite metrics."""

import math

import numpy as np
import pytest
from fake import write_tree
from test_table_files import HEIGHT, WIDTH, config, npy, picture, png

from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.config.schema import TrialConfig
from mtsearch.data import open_dataset, resolve
from mtsearch.data.store import read_manifest
from mtsearch.tasks import check_size
from mtsearch.training import Trial
from mtsearch.training.checks import check_trial

SPLITS = ("train", "val", "test")
KINDS = {
    "classification": {"outputs": 2},
    "ordinal": {"outputs": 2},
    "multilabel": {"outputs": 2, "classes": ["a", "b"]},
    "regression": {},
    "segmentation": {"outputs": 2},
    "depth": {},
    "normals": {},
}


def labels(number, equal):
    """name -> cell of a table, and the files that the cells name."""
    one = 0 if equal else number // 3 % 2
    mask, depth = np.full((HEIGHT, WIDTH), one, np.uint8), np.full((HEIGHT, WIDTH), 1.5 + one)
    vectors = np.zeros((HEIGHT, WIDTH, 3))
    vectors[..., 2 if equal else one] = 1
    names = {kind: f"{kind}{number}.{'png' if kind == 'segmentation' else 'npy'}" for kind in KINDS}
    cells = {"classification": one, "ordinal": one, "multilabel": "ab"[one], "regression": one + 3}
    cells |= {kind: names[kind] for kind in ("segmentation", "depth", "normals")}
    return cells, {
        f"set/{names['segmentation']}": png(mask),
        f"set/{names['depth']}": npy(depth),
        f"set/{names['normals']}": npy(vectors),
    }


def made(folder, without=(), equal=(), kinds=tuple(KINDS)):
    """A table of 24 images; `without` names a kind and a split that has no labels of it, `equal`
    the splits whose labels are all equal."""
    files, lines = {}, [",".join(["path", *kinds, "split"])]
    for number in range(24):
        split = SPLITS[number % 3]
        cells, more = labels(number, split in equal)
        files |= more | {f"set/{number}.png": picture(number, HEIGHT, WIDTH)}
        given = ["" if (kind, split) == without else str(cells[kind]) for kind in kinds]
        lines.append(",".join([f"{number}.png", *given, split]))
    write_tree(folder, files | {"set/rows.csv": "\n".join(lines).encode()})
    tasks = [{"name": kind, "kind": kind, **KINDS[kind]} for kind in kinds]
    return config(folder, tasks=tasks)


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("kind", KINDS)
def test_tasks_without_labels_in_a_split_are_refused(tmp_path, kind, split):
    data = made(tmp_path, without=(kind, split), kinds=(kind,))
    name = {"train": "training", "val": "validation"}[split]
    with pytest.raises(BadInput, match=f"task `{kind}` of `set` has no label in the {name} split"):
        open_dataset(data)


@pytest.mark.parametrize("kind", KINDS)
def test_searches_refuse_tasks_without_labels_in_the_test_split(tmp_path, kind):
    data = made(tmp_path, without=(kind, "test"), kinds=(kind,))
    dataset = open_dataset(data)
    text = "tasks without a label in the test split, which a search needs"
    remarks = read_manifest(resolve(data).store)["remarks"]
    assert [row["example"] for row in remarks if row["text"] == text] == [kind]
    with pytest.raises(BadInput, match=f"Split test: task `{kind}` has no labelled image among 8"):
        check_trial(trial(), dataset.card, dataset.splits)


def test_undefined_pixels_alone_are_no_labels(tmp_path):
    data = made(tmp_path, equal=("val",), kinds=("segmentation",))
    card = tmp_path / "set.yaml"
    card.write_text(card.read_text().replace("outputs: 2", "outputs: 2\n  undefined: 0"))
    with pytest.raises(BadInput, match="no label in the validation split"):
        open_dataset(data)


def trial(**settings):
    return TrialConfig.model_validate(
        {
            "backbone": "cm",
            "optimizer": {"name": "adam", "lr": 1e-3},
            "batch_size": 4,
            "epochs": {"search": 0, "retrain": 1},
            **settings,
        }
    )


def test_one_class_and_equal_values_give_finite_metrics(tmp_path):
    data = made(tmp_path, equal=("val",))
    built = Trial(trial(), data)
    report = list(built)[-1]
    found = {key: value for key, value in report.items() if isinstance(value, float)}
    assert all(math.isfinite(value) for value in found.values())
    assert found["val/regression/r2"] == 0.0


def test_equal_training_targets_are_standardised_by_one(tmp_path):
    data = made(tmp_path, equal=("train",), kinds=("regression", "depth"))
    card = open_dataset(data).card
    assert card.tasks[0].target_mean == (3.0,) and card.tasks[0].target_std == (1.0,)


def test_restorations_of_small_images_are_refused():
    task = TaskCard(name="clean", kind="restoration", outputs=3)
    check_size(task, (3, 11, 11))
    with pytest.raises(BadInput, match=r"`clean` should measure 11x11 pixels or more.*Found 8x32"):
        check_size(task, (3, 8, 32))
