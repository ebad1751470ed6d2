"""Which columns a table shows: what differs between its rows, controls among them, what the notes
name, and not more than fit."""

import pytest

from mtsearch.config.schema import Objective
from mtsearch.pareto import outcome
from mtsearch.reporting.page import page
from mtsearch.reporting.shown import shown
from mtsearch.reporting.tables import markdown, result_columns

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


def columns(rows=ROWS, notes="", room=10, only=None):
    found = outcome(rows, [], OBJECTIVES, notes=notes)
    return shown(
        found,
        [*found.front, *found.controls] if only is None else only,
        result_columns(found),
        room,
    )


def test_what_controls_alone_change_is_shown():
    found = columns()
    assert {c.removeprefix(POPULATION) for c in found.settings} == {
        "tasks",
        "group_size",
        "formulation.name",
        "accept",
        "final",
        "budget",
    }
    assert found.measures == ["cost/steps"] and found.left == [f"{POPULATION}formulation.folds"]


def test_what_all_rows_share_is_told_once():
    assert columns().common == ["model/params", "epoch"]
    found = outcome(ROWS, [], OBJECTIVES)
    assert "The same in all rows: parameters 1,000, epoch 5." in markdown(found, found.rows)


def test_the_searched_settings_come_first_and_what_one_row_has_alone_last():
    rows = [row("0000", 9.0, accept="strict", tasks=2), row("0001", 8.0, tasks=3), *ROWS[2:]]
    found = columns(rows, only=rows)
    assert found.settings[0] == f"{POPULATION}tasks"
    assert found.settings.index(f"{POPULATION}group_size") < found.settings.index(
        f"{POPULATION}budget"
    )


def test_a_column_that_the_notes_name_is_there_even_where_nothing_differs():
    same = [{**r, "cost/steps": 4800} for r in ROWS]
    assert columns(same).measures == [] and "cost/steps" in columns(same).common
    assert columns(same, "All rows executed `cost/steps` steps.").measures == ["cost/steps"]
    assert columns(notes="See `cost/examples`.").measures == ["cost/steps", "cost/examples"]
    assert columns(notes="Every row has `budget: 4800`.").settings[0] == f"{POPULATION}budget"


def test_there_are_never_more_settings_than_room_and_the_others_are_named():
    found = columns(room=2)
    assert len(found.settings) == 2 and len(found.left) == 5
    text = markdown(outcome(ROWS, [], OBJECTIVES), outcome(ROWS, [], OBJECTIVES).rows, room=2)
    assert "The rows differ in population.accept" in text and "which `front.csv` holds." in text


def test_a_setting_of_one_method_with_one_value_is_told_by_the_methods_name():
    found = columns(only=ROWS)
    assert (
        f"{POPULATION}formulation.name" in found.settings
        and f"{POPULATION}formulation.folds" in found.left
    )
    two = [*ROWS, row("0002", 7.0, **{"formulation.name": "kfold", "formulation.folds": 3})]
    assert f"{POPULATION}formulation.folds" in columns(two, only=two).settings


def test_a_row_without_the_block_leaves_its_constants_out_and_its_name_in():
    plain = {
        key: value
        for key, value in row("plain", 9.9, "plain").items()
        if not key.startswith(POPULATION)
    }
    named = [{**r, f"{POPULATION}name": "mto", f"{POPULATION}stop_scope": "none"} for r in ROWS]
    found = columns([*named, plain])
    assert (
        f"{POPULATION}name" not in found.settings
        and f"{POPULATION}stop_scope" in found.left
        and f"{POPULATION}tasks" in found.settings
    )
    assert f"{POPULATION}name" in columns([named[0], {**plain}], only=[named[0], plain]).settings


def test_a_table_of_one_row_shows_what_the_run_varied():
    found = outcome(ROWS[:2], [], OBJECTIVES)
    assert shown(found, found.front, result_columns(found)).settings == [
        f"{POPULATION}formulation.name"
    ]


@pytest.mark.parametrize("words", ["population.accept", "population.budget", ">steps<"])
def test_the_page_has_them_too(words):
    text = page(
        outcome(ROWS, [], OBJECTIVES), name="p", description="", configuration="", environment={}
    )
    assert words in text.split("<tbody")[0]


def test_no_rows_make_an_empty_table():
    found = outcome([], [], OBJECTIVES)
    assert shown(found, [], result_columns(found)) == shown(found, [], [])
    assert markdown(found, []).startswith("| trial | scene error (%) |")
