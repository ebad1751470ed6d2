"""The columns of a table: those that differ between its rows and controls, those that the notes
name, and a maximum."""

import pytest

from mtsearch.config.schema import Objective
from mtsearch.pareto import search_result
from mtsearch.reporting.markdown import markdown_table
from mtsearch.reporting.notes import result_columns, result_notes
from mtsearch.reporting.page import page
from mtsearch.reporting.table_columns import select_columns

OBJECTIVES = (Objective(metric="val/scene/error", goal="min"),)
POPULATION = "trial.population."


def row(name, error, control=None, **population):
    settings = {
        "tasks": 4,
        "group_size": 2,
        "formulation.name": "holdout",
        "accept": "strict",
        "final": "target_best",
        "budget": 4800,
    }
    found = {
        "trial": name,
        "kind": "control" if control else "search",
        "control": control,
        "state": "done",
        "val/scene/error": error,
    }
    found |= {f"{POPULATION}{key}": value for key, value in (settings | population).items()}
    found |= {
        "cost/steps": (settings | population)["budget"],
        "model/params": 1000,
        "cost/examples": 7,
        "epoch": 5,
    }
    return found | {"command": "python -m mtsearch.train"}


ROWS = [
    row("0000", 9.0, **{"formulation.name": "bootstrap"}),
    row("0001", 8.0, **{"formulation.name": "kfold", "formulation.folds": 5}),
    row("average", 9.5, "average", final="average"),
    row("independent", 9.5, "independent", tasks=8, group_size=1, accept="never"),
    row("single", 12.0, "single", tasks=1, group_size=1, budget=600),
]


def columns(rows=ROWS, notes="", max_settings=10, only=None):
    found = search_result(rows, [], OBJECTIVES, notes=notes)
    return select_columns(
        found,
        [*found.front_rows, *found.control_rows] if only is None else only,
        result_columns(found),
        max_settings,
    )


def test_settings_that_only_controls_change_have_columns():
    found = columns()
    assert {c.removeprefix(POPULATION) for c in found.settings} == {
        "tasks",
        "group_size",
        "formulation.name",
        "accept",
        "final",
        "budget",
    }
    assert found.measures == ["cost/steps"] and found.omitted == [f"{POPULATION}formulation.folds"]


def test_common_values_are_listed_once():
    assert columns().common == ["model/params", "epoch"]
    found = search_result(ROWS, [], OBJECTIVES)
    assert "The same in all rows: parameters 1,000, selected epoch 5." in markdown_table(
        found, found.rows
    )


def test_searched_settings_come_first():
    rows = [row("0000", 9.0, accept="strict", tasks=2), row("0001", 8.0, tasks=3), *ROWS[2:]]
    found = columns(rows, only=rows)
    assert found.settings[0] == f"{POPULATION}tasks"
    assert found.settings.index(f"{POPULATION}group_size") < found.settings.index(
        f"{POPULATION}budget"
    )


def test_columns_named_in_notes_are_kept():
    same = [{**r, "cost/steps": 4800} for r in ROWS]
    assert columns(same).measures == [] and "cost/steps" in columns(same).common
    assert columns(same, "All rows executed `cost/steps` steps.").measures == ["cost/steps"]
    assert columns(notes="See `cost/examples`.").measures == ["cost/steps", "cost/examples"]
    assert columns(notes="Every row has `budget: 4800`.").settings[0] == f"{POPULATION}budget"


def test_settings_beyond_the_maximum_are_named():
    found = columns(max_settings=2)
    assert len(found.settings) == 2 and len(found.omitted) == 5
    text = markdown_table(
        search_result(ROWS, [], OBJECTIVES),
        search_result(ROWS, [], OBJECTIVES).rows,
        max_settings=2,
    )
    assert (
        "The rows also differ in population.accept" in text
        and "`front.csv` has these columns." in text
    )


def test_setting_implied_by_a_method_is_omitted():
    found = columns(only=ROWS)
    assert (
        f"{POPULATION}formulation.name" in found.settings
        and f"{POPULATION}formulation.folds" in found.omitted
    )
    two = [*ROWS, row("0002", 7.0, **{"formulation.name": "kfold", "formulation.folds": 3})]
    assert f"{POPULATION}formulation.folds" in columns(two, only=two).settings


def test_row_without_block_omits_its_constants():
    plain = {
        key: value
        for key, value in row("plain", 9.9, "plain").items()
        if not key.startswith(POPULATION)
    }
    named = [{**r, f"{POPULATION}name": "mto", f"{POPULATION}stop_scope": "none"} for r in ROWS]
    found = columns([*named, plain])
    assert (
        f"{POPULATION}name" not in found.settings
        and f"{POPULATION}stop_scope" in found.omitted
        and f"{POPULATION}tasks" in found.settings
    )
    assert f"{POPULATION}name" in columns([named[0], {**plain}], only=[named[0], plain]).settings


def test_single_row_shows_varied_settings():
    found = search_result(ROWS[:2], [], OBJECTIVES)
    assert select_columns(found, found.front_rows, result_columns(found)).settings == [
        f"{POPULATION}formulation.name"
    ]


@pytest.mark.parametrize("words", ["population.accept", "population.budget", ">steps<"])
def test_page_has_the_same_columns(words):
    text = page(
        search_result(ROWS, [], OBJECTIVES),
        name="p",
        description="",
        configuration="",
        environment={},
    )
    assert words in text.split("<tbody")[0]


def test_table_without_rows():
    found = search_result([], [], OBJECTIVES)
    assert select_columns(found, [], result_columns(found)) == select_columns(found, [], [])
    assert markdown_table(found, []).startswith("| trial | scene error (%) |")


def test_table_of_a_segmentation_says_which_classes_count():
    kinds = {"scene": "segmentation"}
    (note,) = [
        n for n in result_notes(search_result(ROWS, [], OBJECTIVES, kinds=kinds)) if "mean IoU" in n
    ]
    assert "over the classes that occur in the labels or the predictions" in note
    assert not any("mean IoU" in n for n in result_notes(search_result(ROWS, [], OBJECTIVES)))
