"""Run directories that another user created or edited: nothing outside them is changed, and foreign
content is refused."""

import json
import os
import shutil

import pytest
import torch

from mtsearch.config.checkpoint_owner import CheckpointOwner
from mtsearch.config.errors import BadInput
from mtsearch.runs.directory import RunDirectory
from mtsearch.runs.names import is_control_name, is_search_name
from mtsearch.runs.opening import create_run
from mtsearch.training.state import load_state, save_state
from tests.helpers.spaces import space

START = {"kind": "search", "control": None, "params": {}, "study": {}, "attempt": 1}


@pytest.fixture
def run(tmp_path):
    """A run with a trial that has ended."""
    made = create_run(space(tmp_path), {"dataset": "none"}, name="toy")
    made.log.append("start", trial="0000", config={"seed": 0}, **START)
    made.log.append("report", trial="0000", report=1, metrics={"report": 1, "val/image/error": 1.0})
    made.log.append("end", trial="0000", state="done", selected=1)
    made.log.append("test", trial="0000", metrics={"test/image/error": 1.0})
    made.log.close()
    return made


def edit(run, change):
    """Rewrite the run's events with `change`, a function of the list of events."""
    events = [json.loads(line) for line in run.events_path.read_text().splitlines()]
    events = change(events) or events
    run.events_path.write_text("".join(json.dumps(event) + "\n" for event in events))


@pytest.mark.parametrize(
    ("name", "search", "control"),
    [
        ("0000", True, False),
        ("9999", True, False),
        ("10000", True, False),
        ("0012.s1", True, False),
        ("0012@03", True, False),
        ("0012.s1@03", True, False),
        ("stl", False, True),
        ("my-control_2", False, True),
        ("..", False, False),
        ("../../victim", False, False),
        ("/etc", False, False),
        ("0012/..", False, False),
        ("012", False, False),
        ("00012", False, False),
        ("١٢٣٤", False, False),
        ("", False, False),
        (".hidden", False, False),
        ("a\n", False, False),
        ("0012\n", False, False),
        ("a" * 101, False, False),
        (12, False, False),
        (None, False, False),
    ],
)
def test_names_of_trials(name, search, control):
    assert (is_search_name(name), is_control_name(name)) == (search, control)


@pytest.mark.parametrize(
    "name", ["../../victim", "..", "/victim", "0000/../../../victim", "a\x00b", "single task"]
)
@pytest.mark.parametrize("kind", ["search", "control"])
def test_a_trial_named_as_a_path_is_refused(run, tmp_path, name, kind):
    victim = tmp_path / "toy" / "victim"
    victim.mkdir()
    control = name if kind == "control" else None
    fields = {**START, "kind": kind, "control": control, "trial": name, "config": {}}
    edit(run, lambda events: [*events, {**events[1], **fields}])
    with pytest.raises(BadInput, match=r"line 6 of events.jsonl, a `start` event") as refused:
        RunDirectory(run.path).rows()
    assert repr(name) in str(refused.value)
    run.delete_checkpoint(name)
    run.prune_checkpoints([], [name])
    assert victim.is_dir()


@pytest.mark.parametrize(
    "where", ["checkpoints", "checkpoints/0000", "checkpoints/0000/a", "export"]
)
def test_links_inside_runs_are_refused(run, tmp_path, where):
    victim = tmp_path / "victim"
    (victim / "0000").mkdir(parents=True)
    link = run.path / where
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(victim)
    with pytest.raises(BadInput, match=rf"contains a link, {where}, and a run has none"):
        RunDirectory(run.path)
    run.delete_checkpoint("0000")
    run.prune_checkpoints([], ["0000"])
    assert (victim / "0000").is_dir()


@pytest.mark.parametrize("name", ["environment.json", "front.csv", "checkpoints/pipe"])
def test_pipes_inside_runs_are_refused(run, name):
    path = run.path / name
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    with pytest.raises(BadInput, match=rf"contains a pipe or device, {name}, and a run has none"):
        RunDirectory(run.path)


@pytest.mark.parametrize("kind", ["report", "test"])
def test_truth_values_are_no_metrics(run, kind):
    def change(events):
        found = next(event for event in events if event["event"] == kind)
        found["metrics"] = {**found["metrics"], "val/image/error": True}
        return events

    edit(run, change)
    with pytest.raises(BadInput, match="its `metrics` is not what this field holds"):
        RunDirectory(run.path).rows()


def test_journal_lock_of_an_older_driver_is_accepted(run):
    """Optuna's own lock was a link to the journal, which a killed driver left behind."""
    (run.path / "study.journal.lock").symlink_to(run.path / "study.journal")
    assert RunDirectory(run.path).rows()


def test_links_inside_the_wandb_folder_are_accepted(run):
    (run.path / "wandb" / "offline-run-1").mkdir(parents=True)
    (run.path / "wandb" / "latest-run").symlink_to("offline-run-1")
    assert RunDirectory(run.path).rows()


def test_only_checkpoints_of_known_trials_are_deleted(run):
    kept = ["0001", "notes", ".0001.abc", ".notes.old"]
    for name in ("0000", ".0000.abc", *kept):
        (run.path / "checkpoints" / name).mkdir(parents=True)
    run.prune_checkpoints([], run.state().trials)
    assert sorted(p.name for p in (run.path / "checkpoints").iterdir()) == sorted(kept)


def deep(levels):
    return json.loads("[" * levels + "]" * levels)


EDITS = {
    "another run": lambda e: e[2].update(run="0" * 32),
    "no id": lambda e: e[2].pop("run") and None,
    "a second begin": lambda e: [*e, e[0]],
    "a second test": lambda e: [*e, e[4]],
    "a second end": lambda e: [*e, e[3]],
    "another end": lambda e: [*e, {**e[3], "state": "failed", "selected": None}],
    "an unknown selected": lambda e: e[3].update(selected=2),
    "no selected": lambda e: e[3].update(selected=None),
    "a state": lambda e: e[3].update(state="gone"),
    "a kind of event": lambda e: [*e, {**e[0], "event": "delete"}],
    "an attempt of text": lambda e: e[1].update(attempt="1"),
    "an attempt of true": lambda e: e[1].update(attempt=True),
    "a report of 0": lambda e: e[2].update(report=0),
    "a huge report": lambda e: e[2].update(report=2**60),
    "a huge number": lambda e: e[2]["metrics"].update(x=10**400),
    "deep nesting": lambda e: e[2]["metrics"].update(x=deep(200)),
    "metrics as a list": lambda e: e[2].update(metrics=[]),
    "a trial as a list": lambda e: e[2].update(trial=["0000"]),
    "an unknown trial": lambda e: e[2].update(trial="0001"),
    "time as text": lambda e: e[2].update(time="now"),
    "another configuration": lambda e: [*e, {**e[1], "config": {"seed": 1}, "attempt": 2}],
    "plug-ins by resume": lambda e: [
        *e,
        {**e[0], "event": "resume", "changes": {"plugins": ["x"]}},
    ],
    "without its first line": lambda e: e[1:],
}


@pytest.mark.parametrize("how", EDITS)
def test_invalid_events_are_refused_by_line_number(run, how):
    edit(run, EDITS[how])
    before = run.events_path.read_bytes()
    with pytest.raises(BadInput, match=r"line [1-7] of \S*events.jsonl") as caught:
        RunDirectory(run.path).rows()
    assert "\n" not in str(caught.value) and run.events_path.read_bytes() == before


@pytest.mark.parametrize("literal", ["1e999", "NaN", "-Infinity"])
def test_numbers_that_are_not_json_are_refused(run, literal):
    run.events_path.write_text(run.events_path.read_text().replace(": 1.0}", f": {literal}}}"))
    with pytest.raises(BadInput, match=r"line 3 of .* is not an event of a run"):
        RunDirectory(run.path).rows()


@pytest.mark.parametrize("text", ["", '{"event": "run", "ti'])
def test_empty_logs_are_refused_unchanged(run, text):
    run.events_path.write_text(text)
    with pytest.raises(
        BadInput, match=r"is not a run directory: its events.jsonl contains no event"
    ):
        RunDirectory(run.path)
    assert run.events_path.read_text() == text


def test_control_characters_of_a_reason_are_not_shown(run):
    run.log.append("start", trial="0001", config={}, **START)
    run.log.append("end", trial="0001", state="failed", reason="red \x1b[31m\x9b \u202e text")
    run.log.close()
    (_, row) = RunDirectory(run.path).rows()
    assert not {"\x1b", "\x9b", "\u202e"} & set(row["reason"]) and "text" in row["reason"]


def test_an_edited_configuration_of_a_run_is_noticed(run):
    path = run.path / "config.yaml"
    path.write_text(path.read_text().replace("limit: 200", "limit: 20"))
    with pytest.raises(BadInput, match=r"config.yaml was changed after the run had begun"):
        _ = RunDirectory(run.path).space


# ---------------------------------------------------------------- checkpoints


def test_a_checkpoint_is_that_of_its_trial_alone(tmp_path):
    owner = CheckpointOwner("a" * 32, "0000", "0123abcd")
    save_state(tmp_path / "0000", {"x": torch.ones(2)}, owner)
    assert load_state(tmp_path / "0000", owner)["x"].sum() == 2
    others = [
        CheckpointOwner("b" * 32, "0000", "0123abcd"),
        CheckpointOwner("a" * 32, "0001", "0123abcd"),
        CheckpointOwner("a" * 32, "0000", "ffffffff"),
        CheckpointOwner("a" * 32, "0001", "0123abcd", required=False),
    ]
    for other in others:
        with pytest.raises(BadInput, match="should belong to trial"):
            load_state(tmp_path / "0000", other)


def test_only_old_runs_have_checkpoints_without_owner(tmp_path):
    save_state(tmp_path / "0000", {"x": 1})
    owner = CheckpointOwner("a" * 32, "0000", "0123abcd")
    with pytest.raises(BadInput, match="it belongs to no trial"):
        load_state(tmp_path / "0000", owner)
    old = CheckpointOwner(owner.run, owner.trial, owner.config, required=False)
    assert load_state(tmp_path / "0000", old) == {"x": 1}


def test_an_owner_cannot_be_edited(tmp_path):
    owner = CheckpointOwner("a" * 32, "0000", "0123abcd")
    save_state(tmp_path / "0000", {"x": 1}, owner)
    path = tmp_path / "0000" / "state.json"
    path.write_text(path.read_text().replace('"0000"', '"0001"'))
    with pytest.raises(BadInput, match="checksum"):
        load_state(tmp_path / "0000", CheckpointOwner("a" * 32, "0001", "0123abcd"))


# ---------------------------------------------------------------- runs of earlier versions

OLD = [
    {
        "event": "run",
        "time": 1750000000.0,
        "clock": 0.0,
        "schema": 1,
        "space": "toy",
        "profile": None,
        "overrides": [],
    },
    {"event": "start", "time": 1750000001.0, "clock": 1.0, "trial": "0000", "config": {"seed": 0}}
    | START,
    {
        "event": "report",
        "time": 1750000002.0,
        "clock": 2.0,
        "trial": "0000",
        "report": 1,
        "metrics": {"report": 1, "epoch": 1, "phase": "train", "val/image/error": "NaN"},
    },
]
"""A run as written by the version before run ids."""


def test_runs_without_run_id_are_continued(run, tmp_path):
    path = tmp_path / "old"
    shutil.copytree(run.path, path)
    (path / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in OLD))
    (path / "config.yaml").write_text((path / "config.yaml").read_text() + "# edited since\n")
    found = RunDirectory(path)
    assert found.schema == 1 and len(found.run_id) == 32
    (row,) = found.rows()
    assert row["state"] == "running" and row["val/image/error"] != row["val/image/error"]
    with found.drive() as driven:
        driven.log.append("end", trial="0000", state="done", selected=1)
    again = RunDirectory(path)
    assert again.run_id == found.run_id and again.rows()[0]["state"] == "done"
    last = json.loads((path / "events.jsonl").read_text().splitlines()[-1])
    assert last["run"] == found.run_id
    edit(again, lambda events: events[-1].update(run="0" * 32))
    with pytest.raises(BadInput, match=r"line 4 .* an event of another run"):
        RunDirectory(path).rows()


# ---------------------------------------------------------------- reading once


def test_only_new_events_are_folded_again(run, monkeypatch):
    from mtsearch.runs.state import RunState

    folded = []
    fold = RunState.fold
    monkeypatch.setattr(
        RunState, "fold", lambda self, event, line: folded.append(line) or fold(self, event, line)
    )
    found = RunDirectory(run.path)
    folded.clear()  # opening a run reads its first event
    found.rows(), found.history(), found.config, found.space, found.rows()
    assert folded == [1, 2, 3, 4, 5]
    with found.drive() as driven:
        driven.log.append("note", trial="0000", note="new")
    folded.clear()
    found.rows()
    assert folded == [6]


@pytest.mark.parametrize("how", ["replaced", "shortened", "rewritten"])
def test_a_log_that_was_replaced_is_read_anew(run, tmp_path, how):
    found = RunDirectory(run.path)
    assert found.rows()[0]["state"] == "done"
    lines = run.events_path.read_text().splitlines(keepends=True)
    if how == "shortened":
        run.events_path.write_text("".join(lines[:3]))
    elif how == "replaced":
        (tmp_path / "new").write_text("".join(lines[:3]))
        os.replace(tmp_path / "new", run.events_path)
    else:
        text = "".join(lines).replace('"val/image/error": 1.0', '"val/image/error": 2.0')
        run.events_path.write_text(text)
        assert found.rows()[0]["val/image/error"] == 2.0
        return
    assert found.rows()[0]["state"] == "running"
