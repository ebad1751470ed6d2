"""Damaged files: a checkpoint, a store, the journal, the events, a table; and no file of a run is
read as a pickle."""

import json
import shutil
import subprocess
import sys

import pytest
import torch

from mtsearch.commands.run import main as run_command
from mtsearch.config.errors import BadInput, Damaged
from mtsearch.jobs.job import Job
from mtsearch.runs.directory import RunDirectory
from mtsearch.runs.state import RunState
from mtsearch.training.state import load_state, save_state
from tests.chaos.checks import check_run, event_counts, read
from tests.chaos.conftest import run_in
from tests.chaos.driver import TRIALS, space_of
from tests.helpers.fixtures import ROOT

DATA = {"dataset": "patches10_digits", "limit": 75}
STATE = {"w": torch.arange(8.0), "n": 3, "x": 0.25, "name": "one"}


# ---------------------------------------------------------------- checkpoints


def damages(folder):
    """Damage of a checkpoint's files: each truncated at some positions, single bytes inverted, each
    missing."""
    for name in ("state.json", "state.safetensors"):
        whole = (folder / name).read_bytes()
        for end in (0, 1, len(whole) // 2, len(whole) - 1):
            yield name, whole[:end]
        for place in range(0, len(whole), max(1, len(whole) // 40)):
            yield name, whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        yield name, None


def test_checkpoint_damage_is_detected_or_harmless(tmp_path):
    save_state(tmp_path / "0000", STATE)
    noticed = 0
    for name, content in damages(tmp_path / "0000"):
        folder = tmp_path / "damaged"
        shutil.copytree(tmp_path / "0000", folder)
        if content is None:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(content)
        try:
            state = load_state(folder)
            assert torch.equal(state.pop("w"), STATE["w"]) and state == {
                k: v for k, v in STATE.items() if k != "w"
            }
        except BadInput as error:
            assert str(error).startswith(f"the checkpoint {folder} is missing or damaged")
            noticed += 1
        shutil.rmtree(folder)
    assert noticed >= 80


WRITER = """
import sys
from pathlib import Path
from mtsearch.training.state import save_state
for n in range(60):
    save_state(Path(sys.argv[1]), {"n": n})
"""


def test_two_processes_may_briefly_save_one_trial(tmp_path):
    """The actor of a killed driver, until Ray ends it, and the actor of its successor."""
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "0000")], cwd=ROOT)
        for _ in range(2)
    ]
    assert [writer.wait() for writer in writers] == [0, 0]
    assert load_state(tmp_path / "0000") == {"n": 59}


def test_old_checkpoints_without_checksums_are_read(tmp_path):
    save_state(tmp_path / "0000", STATE)
    path = tmp_path / "0000" / "state.json"
    tree = json.loads(path.read_text())
    path.write_text(json.dumps({"version": 2, "state": tree["state"]}))
    assert load_state(tmp_path / "0000")["x"] == 0.25


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["cut", "turned"])
def test_damaged_checkpoints_are_trained_again_with_a_note(
    search, undisturbed_real, drive, tmp_path, damage
):
    driver = drive(act="kill", batch_size=64, report=3, run=str(tmp_path), made="real")
    driver.communicate(timeout=300)
    run = run_in(tmp_path)
    unfinished = [
        row["trial"]
        for row in run.rows()
        if row["state"] == "running" and run.checkpoint(row["trial"]).exists()
    ]
    assert "0001" in unfinished
    for trial in unfinished:
        path = run.checkpoint(trial) / "state.safetensors"
        whole = path.read_bytes()
        path.write_bytes(
            whole[: len(whole) // 2]
            + (
                b""
                if damage == "cut"
                else bytes([whole[len(whole) // 2] ^ 1]) + whole[len(whole) // 2 + 1 :]
            )
        )
    code, run, text = search.resume(run, trial_class=TRIALS["real"])
    assert code == 0
    check_run(run, undisturbed_real)
    for trial in unfinished:
        assert event_counts(run, "note")[trial] == 1 and run.state().trials[trial].attempts == 2
        assert (
            f"{trial}: trained again from its start, as its state could not be read: the"
            " checkpoint " in text
        )


# ---------------------------------------------------------------- stores


@pytest.fixture
def stored(tmp_path):
    """`stored()` prepares a small store of its own and returns its data configuration and data
    file."""
    from mtsearch.config.schema import DataConfig
    from mtsearch.data import prepare

    data = {**DATA, "store": str(tmp_path / "stores")}
    folder = prepare(DataConfig.model_validate(data))
    (folder / "data.mdb").chmod(0o644)
    return data, folder / "data.mdb"


def spoil(path, how):
    whole = bytearray(path.read_bytes())
    if how == "cut":
        del whole[len(whole) // 2 :]
    else:
        whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)


@pytest.mark.parametrize("how", ["cut", "turned"])
def test_a_damaged_store_prevents_a_new_run(tmp_path, stored, how, capsys):
    data, path = stored
    spoil(path, how)
    raw = space_of("real", str(tmp_path / "results")).raw
    (tmp_path / "toy.yaml").write_text(json.dumps({**raw, "data": data}))
    assert run_command([f"space={tmp_path / 'toy.yaml'}"]) == 2
    said = capsys.readouterr().err
    assert "damaged" in said and "prepare the dataset again" in said and said.count("\n") == 1
    assert not list((tmp_path / "results").rglob("events.jsonl"))


@pytest.mark.parametrize("how", ["cut", "turned"])
def test_store_damage_stops_the_run_without_failures(tmp_path, stored, how):
    data, path = stored
    spoil(path, how)
    config = space_of("real", str(tmp_path)).defaults
    job = {
        "purpose": "train",
        "checkpoint": {"folder": str(tmp_path / "0000")},
        "config": config,
        "data": data,
        "plugins": [],
        "trial_class": "mtsearch.training:Trial",
    }
    result = Job(json.dumps(job)).step()
    assert result.done and result.failed is None and "prepare the dataset again" in result.halt
    with pytest.raises(Damaged, match="prepare the dataset again"):
        from mtsearch.config.schema import DataConfig
        from mtsearch.data import open_dataset

        open_dataset(DataConfig.model_validate(data))


# ---------------------------------------------------------------- events and tables


def test_events_that_do_not_fit_are_named():
    events = [
        {"event": "run", "time": 1, "space": "toy", "overrides": []},
        {"event": "report", "time": 2, "trial": "0009", "report": 1},
    ]
    with pytest.raises(
        BadInput,
        match=r"^line 2 of events\.jsonl, a `report` event, does not fit .* remove that line\.$",
    ):
        RunState.from_events(events)


@pytest.mark.slow
def test_damaged_tables_are_made_again_from_the_events(undisturbed, tmp_path):
    run = RunDirectory(shutil.copytree(undisturbed.path, tmp_path / "copy"))
    tables = [run.path / f"{name}.parquet" for name in ("trials", "history", "front")]
    rows = [read(path) for path in tables]
    tables[0].write_bytes(b"")
    tables[1].write_bytes(tables[1].read_bytes()[:-20])
    tables[2].unlink()
    done = subprocess.run(
        [sys.executable, "-m", "mtsearch.report", f"run={run.path}", "format=parquet"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert repr([read(path) for path in tables]) == repr(rows)


# ---------------------------------------------------------------- pickles

AUDIT = """
import json, pickle, sys

import torch

import mtsearch.deploy, mtsearch.export, mtsearch.report, mtsearch.run
import mtsearch.execution.engine, mtsearch.reporting.plots, mtsearch.reporting.page
from mtsearch.jobs.job import Job

run, job, out = sys.argv[1:]
reading, found = [True], []


def note(name):
    if reading[0]:
        found.append(name)


def watched(name, real):
    def load(*arguments, **keywords):
        note(name)
        return real(*arguments, **keywords)

    return load


class Unpickler(pickle.Unpickler):
    def __init__(self, *arguments, **keywords):
        note("pickle.Unpickler")
        super().__init__(*arguments, **keywords)


def write_only(*arguments, **keywords):
    reading[0] = False  # the run is read; what follows writes a model and looks at what it wrote
    return export_model(*arguments, **keywords)


def hook(event, arguments):
    if event == "pickle.find_class":
        note(f"{event} {arguments}")


sys.addaudithook(hook)
for module, name in ((pickle, "load"), (pickle, "loads"), (torch, "load")):
    setattr(module, name, watched(f"{module.__name__}.{name}", getattr(module, name)))
pickle.Unpickler = Unpickler
export_model, mtsearch.deploy.export_model = mtsearch.deploy.export_model, write_only
failed = [Job(job).step().failed]
codes = [
    mtsearch.run.main([f"resume={run}"]),
    mtsearch.report.main([f"run={run}"]),
    mtsearch.export.main([f"run={run}", f"out={out}"]),
]
assert not reading[0]
print(json.dumps([codes, failed, found]))
"""


@pytest.mark.slow
def test_run_files_are_never_read_as_pickles(undisturbed_real, tmp_path):
    """Resume, report, export and a continued trial, with all unpickling functions and the audit
    events of the interpreter recorded."""
    config = space_of("real", str(tmp_path)).defaults
    job = {
        "purpose": "train",
        "checkpoint": {"folder": str(tmp_path / "0000")},
        "config": config,
        "data": DATA,
        "plugins": [],
        "trial_class": "mtsearch.training:Trial",
    }
    assert Job(json.dumps(job)).step().failed is None
    words = [
        sys.executable,
        "-c",
        AUDIT,
        str(undisturbed_real.path),
        json.dumps(job),
        str(tmp_path / "model"),
    ]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    codes, failed, found = json.loads(done.stdout.splitlines()[-1])
    assert (codes, failed, found) == ([0, 0, 0], [None], []), done.stderr
