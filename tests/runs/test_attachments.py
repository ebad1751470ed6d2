"""Files of single trials beside the events."""

import json

import pytest

from mtsearch.runs.attachments import MAX_BYTES, predictions_file, read_logs, read_predictions
from mtsearch.runs.opening import create_run, open_run
from tests.helpers.spaces import space

FACTS = {"dataset": "made", "checksum": "0"}
IMAGE = "data:image/png;base64,AAAA"
GOOD = {
    "schema": 1,
    "images": [IMAGE],
    "tasks": {
        "a": {
            "kind": "classification",
            "classes": ["x", "y"],
            "confusion": [[1, 0], [0, 1]],
            "examples": [{"image": 0, "truth": 0, "answer": 1}],
        }
    },
}


def written(folder, tree, name="0000"):
    path = folder / predictions_file(name)
    path.parent.mkdir(exist_ok=True)
    path.write_text(tree if isinstance(tree, str) else json.dumps(tree))
    return read_predictions(folder)


def changed(**fields):
    return {**GOOD, "tasks": {"a": {**GOOD["tasks"]["a"], **fields}}}


def test_predictions_are_read_by_trial(tmp_path):
    assert read_predictions(tmp_path) == {} and read_logs(tmp_path) == {}
    found = written(tmp_path, GOOD)
    assert found == {"0000": {"images": GOOD["images"], "tasks": GOOD["tasks"]}}


@pytest.mark.parametrize("value", [3, [0.5, None]])
def test_examples_of_plugin_kinds_are_read(tmp_path, value):
    tree = changed(kind="ages", examples=[{"image": 0, "truth": value, "answer": value}])
    assert written(tmp_path, tree)["0000"]["tasks"]["a"]["kind"] == "ages"


@pytest.mark.parametrize(
    "tree",
    [
        "{",
        "[" * 100_000,
        " " * (MAX_BYTES + 1),
        {**GOOD, "schema": 2},
        {**GOOD, "images": ["https://example.org/a.png"]},
        {**GOOD, "images": ["data:image/svg+xml;base64,AAAA"]},
        {**GOOD, "images": [IMAGE + '" onerror="x']},
        {**GOOD, "tasks": {"a": []}},
        changed(examples=[{"image": 1, "truth": 0, "answer": 0}]),
        changed(examples=[{}]),
        changed(kind="ages", examples=[{"image": 0, "truth": 0, "answer": [0]}]),
        changed(kind="segmentation"),
        changed(confusion=[[1], [2]]),
        changed(confusion=[[1.5, 0], [0, 1]]),
        changed(counts=[[1, 2]]),
        changed(examples=3),
    ],
)
def test_damaged_predictions_are_left_out(tmp_path, tree):
    written(tmp_path, GOOD, "0001")
    assert set(written(tmp_path, tree)) == {"0001"}


def test_only_names_of_trials_are_read(tmp_path):
    assert written(tmp_path, GOOD, "..") == {} and written(tmp_path, GOOD, "a b") == {}


def test_attachments_of_runs_in_object_stores_are_uploaded(url):
    run = create_run(space(url), FACTS, name="toy")
    with run:
        run.attach_predictions("0000", GOOD)
        run.attach_log("0001", "line 1\x1b[31m\nline 2")
        run.attach_predictions("0002", None)
        assert run.flush() is None
    found = open_run(run.address)
    assert set(read_predictions(found.path)) == {"0000"}
    assert read_logs(found.path)["0001"].splitlines()[1] == "line 2"
    with open_run(run.address).drive() as again:
        assert set(read_predictions(again.path)) == {"0000"}
