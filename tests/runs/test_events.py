import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtsearch.config.errors import BadInput
from mtsearch.runs.events import SCHEMA, EventLog, cut_torn_line, numbers, plain, read_events


def test_not_finite_numbers_survive_strict_json(tmp_path):
    log = EventLog(tmp_path / "events.jsonl")
    metrics = {
        "a": math.nan,
        "b": math.inf,
        "c": -math.inf,
        "d": 0.1,
        "e": np.float32(0.5),
        "f": np.int64(3),
        "g": None,
    }
    given_back = log.append("report", trial="0000", metrics=metrics)
    log.close()
    (event,) = read_events(log.path)
    json.loads(log.path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert (
        math.isnan(event["metrics"]["a"])
        and event["metrics"]["b"] == math.inf
        and event["metrics"]["c"] == -math.inf
    )
    assert [event["metrics"][k] for k in "defg"] == [0.1, 0.5, 3, None]
    assert repr(given_back) == repr(event)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.just("text"),
        lambda v: st.lists(v) | st.dictionaries(st.text(), v),
    )
)
def test_metrics_come_back_as_they_were(tree):
    assert repr(numbers(json.loads(json.dumps(plain(tree), allow_nan=False)))) == repr(tree)


def test_words_outside_metrics_stay_words(tmp_path):
    log = EventLog(tmp_path / "events.jsonl")
    log.append("start", config={"name": "NaN"})
    log.close()
    assert next(read_events(log.path))["config"] == {"name": "NaN"}


def test_incomplete_last_lines_are_ignored_and_removed(tmp_path):
    log = EventLog(tmp_path / "events.jsonl")
    log.append("run", n=1)
    log.close()
    whole = log.path.read_bytes()
    log.path.write_bytes(whole + b'{"event": "report", "ti')
    assert [e["event"] for e in read_events(log.path)] == ["run"]
    log.append("resume", n=2)
    log.close()
    assert [e["event"] for e in read_events(log.path)] == ["run", "resume"]
    assert log.path.read_bytes().startswith(whole)


@pytest.mark.parametrize("whole", [b"", b"one\n", b"x" * 5000 + b"\n" + b"two\n"])
@pytest.mark.parametrize("torn", [b"", b"t", b"t" * 9000])
def test_cutting_keeps_all_whole_lines(tmp_path, whole, torn):
    path = tmp_path / "file"
    path.write_bytes(whole + torn)
    assert cut_torn_line(path) == len(torn)
    assert path.read_bytes() == whole


def test_a_damaged_line_is_named(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text('{"event": "run", "time": 1}\n{"event"\n{"event": "resume", "time": 2}\n')
    with pytest.raises(BadInput, match="line 2"):
        list(read_events(path))


def test_a_newer_schema_is_refused(tmp_path):
    log = EventLog(tmp_path / "events.jsonl")
    log.append("run", schema=SCHEMA + 1)
    log.close()
    with pytest.raises(BadInput, match="newer mtsearch"):
        list(read_events(log.path))
