"""Damaged files of a run: each ends in one sentence, or gives what an independent plain reader of
the file gives, and nothing else changes."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from mtsearch.config.errors import BadInput
from mtsearch.runs.directory import RunDirectory
from mtsearch.runs.opening import create_run
from tests.fuzz.damage import damaged_bytes, damages
from tests.helpers.spaces import space

pytestmark = pytest.mark.slow
EXAMPLES = 2500
START = {"kind": "search", "control": None, "params": {}, "study": {}, "attempt": 1}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    made = create_run(space(tmp_path_factory.mktemp("fuzz")), {"dataset": "none"}, name="toy")
    for trial, batch_size in (("0000", 1), ("0001", 2)):
        made.log.append("start", trial=trial, config={"batch_size": batch_size}, **START)
        for number in (1, 2):
            metrics = {"report": number, "epoch": number, "val/image/error": 50.0 / number}
            made.log.append("report", trial=trial, report=number, metrics=metrics)
    made.log.append("end", trial="0000", state="done", selected=2)
    made.log.append("test", trial="0000", metrics={"test/image/error": 26.0})
    made.log.append("end", trial="0001", state="failed", reason="it diverged")
    made.log.close()
    return made


def plain_reader(data):
    """Trials by name from an event log, by the shortest code that can: state, selected report's
    metrics, test metrics."""
    trials = {}
    for line in data.split(b"\n")[:-1]:
        event = json.loads(line)
        name = event.get("trial")
        if event["event"] == "start":
            trials.setdefault(name, {"state": "running", "reports": {}, "test": {}, "row": None})
        elif event["event"] == "report":
            trials[name]["reports"].setdefault(event["report"], event["metrics"])
        elif event["event"] == "end":
            trials[name].update(state=event["state"], row=event.get("selected"))
        elif event["event"] == "test":
            trials[name]["test"] = event["metrics"]
    found = {}
    for name, trial in trials.items():
        reports = trial["reports"]
        chosen = reports[trial["row"] or max(reports)] if reports else {}
        found[name] = (trial["state"], chosen.get("val/image/error"), trial["test"])
    return found


def files(folder: Path):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def same(a, b):
    return a == b or (isinstance(a, float) and str(a) == str(b)) or str(a).lower() == str(b).lower()


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(steps=damages(2500))
def test_a_damaged_event_log_is_refused_or_read_as_it_says(run, steps):
    whole = run.events_path.read_bytes()
    before = files(run.path.parent)
    data = damaged_bytes(whole, steps)
    try:
        run.events_path.write_bytes(data)
        found = {}
        for row in RunDirectory(run.path).rows():
            test = {key: value for key, value in row.items() if key.startswith("test/")}
            found[row["trial"]] = (row["state"], row.get("val/image/error"), test)
        expected = plain_reader(data)
        assert found.keys() == expected.keys()
        for name, (state, error, _) in found.items():
            assert state == expected[name][0] and same(error, expected[name][1])
    except BadInput as error:
        assert "\n" not in str(error) and len(str(error)) < 2000
    finally:
        assert run.events_path.read_bytes() == data
        run.events_path.write_bytes(whole)
    assert files(run.path.parent) == before


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(steps=damages(1500))
def test_a_damaged_configuration_is_refused_or_the_same(run, steps):
    path = run.path / "config.yaml"
    whole = path.read_bytes()
    data = damaged_bytes(whole, steps)
    try:
        path.write_bytes(data)
        RunDirectory(run.path).rows()
        assert data == whole
    except BadInput as error:
        assert "\n" not in str(error) and len(str(error)) < 2000
    finally:
        path.write_bytes(whole)


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(steps=damages(1500))
def test_a_damaged_configuration_of_an_old_run_raises_one_sentence(run, tmp_path_factory, steps):
    """A run of schema 1 has no checksum of its configuration."""
    folder = run.path.parent / "old"
    folder.mkdir(exist_ok=True)
    first = {"event": "run", "time": 1.0, "schema": 1, "space": "toy", "overrides": []}
    (folder / "events.jsonl").write_text(json.dumps(first) + "\n")
    (folder / "config.yaml").write_bytes(
        damaged_bytes((run.path / "config.yaml").read_bytes(), steps)
    )
    try:
        config = RunDirectory(folder).config
        assert math.isfinite(config.search.trials)
    except BadInput as error:
        assert "\n" not in str(error).strip() and len(str(error)) < 3000
