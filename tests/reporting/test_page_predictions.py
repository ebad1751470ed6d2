"""Which predictions and logs a page contains."""

from mtsearch.pareto import search_result
from mtsearch.reporting.page_predictions import (
    LOG_CHARACTERS,
    PREDICTION_CHARACTERS,
    logs_data,
    predictions_data,
)
from tests.helpers.synthetic_search import OBJECTIVES, search

RESULT = search_result(*search(), OBJECTIVES)


def of(images, places):
    examples = [{"image": i, "truth": 0, "answer": 1} for i in places]
    entry = {"kind": "classification", "classes": ["x", "y"], "examples": examples}
    return {"images": images, "tasks": {"a": entry}}


def test_images_of_several_trials_are_stored_once():
    given = {"stl": of(["A", "B"], [0, 1]), "plain": of(["B", "C"], [0, 1])}
    found = predictions_data(RESULT, given)
    assert sorted(found["images"]) == ["A", "B", "C"]
    for name, images in (("stl", "AB"), ("plain", "BC")):
        examples = found["trials"][name]["a"]["examples"]
        assert "".join(found["images"][e["image"]] for e in examples) == images
    assert found["tasks"] == {"a": {"kind": "classification", "classes": ["x", "y"]}}
    assert found["left"] == []


def test_the_front_goes_before_the_controls_where_room_is_short():
    size = PREDICTION_CHARACTERS // 2 - 1000
    names = [row["trial"] for row in RESULT.front_rows[:2]]
    made = {name: of([name + "A" * size], [0]) for name in ["stl", *names]}
    found = predictions_data(RESULT, made)
    assert set(found["trials"]) == set(names) and found["left"] == ["stl"]


def test_no_predictions_are_none():
    assert predictions_data(RESULT, {}) is None
    assert predictions_data(RESULT, {"9999": of(["A"], [0])}) is None


def test_logs_are_of_failed_trials_and_bounded():
    logs = {"0005": "a\x1b[0m\nb", "0000": "of a finished trial"}
    found = logs_data(RESULT, logs)
    assert set(found) == {"0005"} and "\x1b" not in found["0005"]
    assert found["0005"].splitlines()[1] == "b"
    assert logs_data(RESULT, {"0005": "x" * (LOG_CHARACTERS + 1)}) == {}
