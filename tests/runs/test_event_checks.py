"""Events with missing, wrong or impossible fields are refused with the reason."""

import pytest

from mtsearch.runs.event_checks import check_event

START = {
    "event": "start",
    "time": 1.0,
    "trial": "0001",
    "kind": "search",
    "config": {},
    "params": {},
    "attempt": 1,
}


def start(**changes):
    return {**START, **changes}


@pytest.mark.parametrize(
    "event,reason",
    [
        ({"event": "party", "time": 1.0}, "its kind is unknown"),
        ({"event": "start", "time": 1.0}, "it lacks `trial`"),
        (start(trial="../x"), "its `trial` is '../x', and trials are named by"),
        (start(time="now"), "its `time` is not"),
        (start(clock="late"), "its `clock` is not"),
        (start(trial="stl"), "its `trial` is not the name of a search trial"),
        (start(control="stl"), "its `trial` is not the name of a search trial"),
        (start(kind="control", trial="0001"), "its `trial` is not the name of a control"),
        (start(kind="control", trial="stl", control="other"), "is not the name of a control"),
    ],
)
def test_impossible_events_are_refused(event, reason):
    with pytest.raises(ValueError, match=reason):
        check_event(event)


def test_starts_of_trials_and_controls_are_accepted():
    check_event(START)
    check_event(start(kind="control", trial="stl", control="stl"))
