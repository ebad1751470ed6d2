"""Points of trials in the events of a run."""

import pytest

from mtsearch.config.errors import BadInput
from mtsearch.runs.names import is_trial_name
from mtsearch.runs.state import RunState

START = {
    "event": "start",
    "trial": "0000",
    "kind": "search",
    "config": {"seed": 3, "pareto_set": {"name": "weights_line"}},
    "params": {},
    "attempt": 1,
}
REPORT = {"event": "report", "trial": "0000", "report": 1, "metrics": {"val/a/error": 1.0}}
POINTS = [
    {"preference": {"a": 0.0, "b": 1.0}, "metrics": {"val/a/error": 2.0}},
    {"preference": {"a": 1.0, "b": 0.0}, "metrics": {"val/a/error": 3.0}},
]
END = {"event": "end", "trial": "0000", "state": "done", "selected": 1, "points": POINTS}


def state(*events):
    first = {"event": "run", "space": "toy", "overrides": [], "run": "r", "config_sha256": "0"}
    timed = [{**e, "time": 1.0, "run": "r"} for e in ({**first, "schema": 2}, *events)]
    return RunState.from_events(timed)


def test_points_are_records_of_plain_configurations():
    trial = state(START, REPORT, END).trials["0000"]
    assert [point.trial for point in trial.rows] == ["0000@00", "0000@01"]
    assert trial.points[1].config == {"seed": 3, "preference": {"a": 1.0, "b": 0.0}}
    assert trial.points[1].result == {"val/a/error": 3.0} and trial.points[1].state == "done"
    assert state(START, REPORT).trials["0000"].rows[0].trial == "0000"


def test_test_of_a_point_belongs_to_it():
    found = state(
        START, REPORT, END, {"event": "test", "trial": "0000@01", "metrics": {"test/a/error": 4.0}}
    )
    assert found.find("0000@01").test == {"test/a/error": 4.0}
    assert found.find("0000").test == found.find("0000@00").test == {}
    assert found.find("0000@02") is None and found.find("0001") is None


@pytest.mark.parametrize(
    "event",
    [
        {"event": "test", "trial": "0000@02", "metrics": {}},
        {**END, "points": [{"preference": {"a": "1"}, "metrics": {}}]},
        {**END, "points": [{"metrics": {}}]},
        {**END, "points": {"a": 1}},
    ],
)
def test_points_of_the_wrong_form_are_refused(event):
    before = [START, REPORT, END] if event["event"] == "test" else [START, REPORT]
    with pytest.raises(BadInput, match=r"line \d of events.jsonl"):
        state(*before, event)


@pytest.mark.parametrize("name", ["0012@03", "0012.s1@03", "stl@03", "stl.s1@03"])
def test_points_have_names_that_stay_in_their_folder(name):
    assert is_trial_name(name)
    assert not is_trial_name(name + "/x") and not is_trial_name(name + "@00")
