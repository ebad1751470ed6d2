"""Observers receive each event once, also after a resume, and cannot end the search."""

import json
import math
import re
import time
from pathlib import Path

import pytest

import mtsearch
from mtsearch.commands.run import main
from mtsearch.config.errors import BadInput
from mtsearch.config.registry import methods
from mtsearch.config.schema import DataConfig
from mtsearch.config.space import Space
from mtsearch.observers import check_observers
from mtsearch.observers.base import observer_of
from mtsearch.observers.dispatcher import dispatch_events
from mtsearch.runs import object_store as storage
from mtsearch.runs import opening
from mtsearch.runs.directory import RunDirectory
from mtsearch.runs.object_store import Store
from mtsearch.strategy.manager import TrialManager
from tests.helpers.fake import order
from tests.helpers.spaces import space


def watched(root, monitor, plugins=(), **settings):
    """The toy space with observers."""
    return Space({**space(root, **settings).raw, "monitor": monitor, "plugins": list(plugins)})


def opened(made, path=None):
    """A manager of a new run of this space, or of the run at `path`."""
    run = RunDirectory(path).drive() if path else opening.create_run(made, {}, name="toy")
    return TrialManager(run, made, DataConfig(dataset="cifar10_mnist"))


def report(number, image=50.0):
    figures = {
        "val/image/error": image,
        "val/digit/error": 10.0,
        "model/density": 1.0,
        "train/image/loss": math.inf,
    }
    return {
        "report": number,
        "epoch": number,
        "phase": "train",
        **figures,
        "cost/seconds": 2.0 * number,
        "cost/examples": 100 * number,
    }


def drive(made, path=None, stop=None, tests=True):
    """Run a manager to its end with reports of three epochs; `stop` ends the driver at (trial,
    report) like a kill. Returns the run."""
    return work(opened(made, path), stop, tests)


def work(manager, stop=None, tests=True):
    notes = []
    with dispatch_events(manager, notes.append):
        while (trial := manager.next_trial()) is not None:
            for number in range(1, 4):
                manager.reports(
                    trial.trial, [report(number, 50.0 - int(trial.config["batch_size"]))]
                )
                if stop == (trial.trial, number):
                    manager.run.log.close()
                    return manager.run, notes
            manager.done(trial.trial, 3)
        while tests and (trial := manager.next_test()) is not None:
            manager.tested(trial.trial, {"test/image/error": 44.0})
    manager.run.log.close()
    return manager.run, notes


# ------------------------------------------------------------ TensorBoard


def scalars(folder):
    """{tag: {step: values}} of a folder, as TensorBoard reads it."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    found = {}
    for path in sorted(folder.glob("events.*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "scalars":
                    found.setdefault(value.tag, {}).setdefault(event.step, []).append(
                        round(value.tensor.float_val[0], 4)
                    )
    return found


def test_tensorboard_has_every_number_of_every_report_once(tmp_path):
    run, notes = drive(watched(tmp_path, "tensorboard", trials=2))
    assert not notes
    folders = {path.name for path in (run.path / "tensorboard").iterdir() if path.is_dir()}
    assert folders == {"0000", "0001", "stl"}
    found = scalars(run.path / "tensorboard" / "0001")
    assert found["val/image/error"] == {1: [48.0], 2: [48.0], 3: [48.0]}
    assert found["cost/examples"] == {1: [100], 2: [200], 3: [300]}
    assert found["selected/val/image/error"] == {3: [48.0]} and found["test/image/error"] == {
        3: [44.0]
    }
    assert "train/image/loss" not in found, "what is not finite is left out"
    assert scalars(run.path / "tensorboard")["search/hypervolume"] == {2: [51 * 90], 3: [52 * 90]}


def test_tensorboard_shows_settings_beside_results(tmp_path):
    from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer
    from tensorboard.plugins.hparams import metadata

    run, _ = drive(watched(tmp_path, ["tensorboard"], trials=1))
    read = EventMultiplexer().AddRunsFromDirectory(str(run.path / "tensorboard")).Reload()
    content = read.PluginRunToTagToContent("hparams")["0000"]
    start = metadata.parse_session_start_info_plugin_data(content[metadata.SESSION_START_INFO_TAG])
    assert (
        start.hparams["batch_size"].number_value == 1
        and start.hparams["state"].string_value == "done"
    )


def test_resumed_runs_have_unique_tensorboard_points(tmp_path):
    made = watched(tmp_path, ["tensorboard"], trials=2)
    run, _ = drive(made, stop=("0000", 2))
    calm, _ = drive(made)
    run, notes = drive(made, run.path)
    assert not notes
    for name in ("0000", "0001", "stl"):
        assert scalars(run.path / "tensorboard" / name) == scalars(calm.path / "tensorboard" / name)


def test_observers_see_ends_decided_before_a_crash(tmp_path):
    made = watched(tmp_path, ["tensorboard"], trials=2)
    run, _ = drive(made, stop=("0000", 2))
    lines = run.events_path.read_text().splitlines()
    lines[-1] = json.dumps({**json.loads(lines[-1]), "stop": "too many others are better"})
    run.events_path.write_text("\n".join(lines) + "\n")
    seen = []
    manager = opened(made, run.path)
    assert manager.state.trials["0000"].state == "running"
    manager.listener = lambda event, trial, metrics: seen.append((event, trial.trial, trial.state))
    assert manager.next_trial().trial == "0001"
    assert seen[:2] == [("ended", "0000", "stopped"), ("trial", "0001", "running")]
    assert (
        manager.state.trials["0000"].reason == "too many others are better"
        and manager.state.trials["0000"].attempts == 1
    )


def test_resume_writes_only_missing_observations(tmp_path):
    made = watched(tmp_path, ["tensorboard"], trials=2)
    run, _ = drive(made, tests=False)
    folder = run.path / "tensorboard"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("events.*")}
    lost = folder / "0000"
    (lost / "ended").unlink()
    drive(made, run.path, tests=False)
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("events.*")}
    changed = {
        path.parent.name for path in set(before.items()) ^ set(after.items()) for path in [path[0]]
    }
    assert changed == {"0000"} and scalars(lost)["val/image/error"] == {
        1: [49.0],
        2: [49.0],
        3: [49.0],
    }


# ------------------------------------------------------------ MLflow and Weights & Biases


def mlflow_runs(run):
    """MLflow's runs by trial, and each metric's history as {step: values}."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{run.path.resolve() / 'mlflow.db'}")
    found = {}
    for made in client.search_runs([client.get_experiment_by_name("toy").experiment_id]):
        assert made.data.tags["mtsearch.trial"] not in found, "one run a trial"
        history = {}
        for key in made.data.metrics:
            for point in client.get_metric_history(made.info.run_id, key):
                history.setdefault(key, {}).setdefault(point.step, []).append(point.value)
        found[made.data.tags["mtsearch.trial"]] = (made, history)
    return found


def test_mlflow_has_each_report_once_after_resume(tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    made = watched(tmp_path, "mlflow", trials=2)
    run, notes = drive(made, stop=("0000", 2))
    assert mlflow_runs(run)["0000"][0].info.status == "KILLED" and not notes
    run, notes = drive(made, run.path)
    assert not notes
    found = mlflow_runs(run)
    assert set(found) == {"0000", "0001", "stl"}
    for name, image in (("0000", 49.0), ("0001", 48.0), ("stl", 42.0)):
        of_mlflow, history = found[name]
        assert of_mlflow.info.status == "FINISHED" and of_mlflow.data.params["batch_size"] == str(
            int(50 - image)
        )
        assert history["val/image/error"] == {1: [image], 2: [image], 3: [image]}
        assert history["selected/val/image/error"] == {3: [image]}
        assert history.get("test/image/error") == ({3: [44.0]} if name != "0000" else None), (
            "0001 dominates 0000"
        )


def wandb_records(path):
    """The records of a file of W&B's: seven bytes, then LevelDB's log in blocks of 32 KiB."""
    from wandb.proto import wandb_internal_pb2

    data, place, parts = path.read_bytes(), 7, b""
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
        size, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        parts += data[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):
            yield wandb_internal_pb2.RunState.FromString(parts)
            parts = b""


def wandb_runs(run):
    """What the files of runs kept offline hold, by trial: {step: image errors} and the summary."""
    found = {}
    for path in sorted((run.path / "wandb").glob("offline-run-*/*.wandb")):
        name, steps, summary = None, {}, {}
        for record in wandb_records(path):
            if record.HasField("run"):
                name = record.run.display_name
            if record.HasField("history"):
                items = {
                    item.key or "/".join(item.nested_key): item.value_json
                    for item in record.history.item
                }
                steps.setdefault(record.history.step.num, []).append(
                    float(items["val/image/error"])
                )
            for item in record.summary.update if record.HasField("summary") else ():
                summary[item.key or "/".join(item.nested_key)] = item.value_json
        assert name not in found, "one run a trial"
        found[name] = steps, summary
    return found


def test_wandb_has_each_report_once_after_resume(tmp_path):
    pytest.importorskip("wandb")
    made = watched(tmp_path, {"name": "wandb", "mode": "offline"}, trials=2)
    run, notes = drive(made, stop=("0000", 2))
    run, notes = drive(made, run.path)
    assert not notes
    until = time.monotonic() + 60  # its own process writes the files
    while set(found := wandb_runs(run)) != {"0000", "0001", "stl"} and time.monotonic() < until:
        time.sleep(0.2)
    assert set(found) == {"0000", "0001", "stl"}
    assert found["0000"][0] == {1: [49.0], 2: [49.0], 3: [49.0]} and found["0001"][0] == {
        1: [48.0],
        2: [48.0],
        3: [48.0],
    }
    assert (
        found["0001"][1]["selected/val/image/error"] == "48.0"
        and found["0001"][1]["test/image/error"] == "44.0"
    )


# ------------------------------------------------------------ runs at a URL


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A URL for runs that needs no server: a folder of this file system."""
    monkeypatch.setenv("MTSEARCH_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setattr(storage, "SETTLE", 0.0)
    # It refuses `file://` in favour of a path.
    monkeypatch.setattr(opening, "check_url", lambda *words: None)
    return f"file://{tmp_path}/bucket"


def drive_at(url, monitor, name="first", stop=None, plugins=()):
    """The same as `drive` for a run of this name at a URL: made, or resumed in a new working copy.
    Returns its store and the notes."""
    made = watched(url, monitor, plugins, trials=2)
    made = Space({**made.raw, "results": {"root": url, "run": name}})
    begun = opening.named_run(made)
    run = begun.drive() if begun else opening.create_run(made, {}, name="toy")
    with run:
        _, notes = work(TrialManager(run, made, DataConfig(dataset="cifar10_mnist")), stop)
        assert run.flush() is None
    return Store(run.address), notes


TITLES = '''
"""An observer for the tests that records the title and the name of each trial."""

from typing import Literal

from mtsearch.config.base import Model
from mtsearch.config.registry import method
from mtsearch.observers import Observer, observer


@method("observer", "titles")
class Titles(Model):
    """A line for each trial, in `titles.txt`."""

    name: Literal["titles"] = "titles"


@observer(Titles)
class InTitles(Observer):
    def trial(self, trial):
        with open(PATH, "a") as file:
            print(self.title, trial.trial, file=file)
'''


def test_titles_of_runs_at_urls_survive_resumes(place, tmp_path, forget_plugins):
    (tmp_path / "titles.py").write_text(TITLES.replace("PATH", repr(str(tmp_path / "titles.txt"))))
    for name, stop in (("first", ("0000", 2)), ("first", None), ("second", None)):
        drive_at(place, "titles", name, stop, [str(tmp_path / "titles.py")])
    seen = [tuple(line.split()) for line in (tmp_path / "titles.txt").read_text().splitlines()]
    first = [("toy/first", trial) for trial in ("stl", "0000", "0000", "0001")]
    assert seen == [*first, *(("toy/second", trial) for trial in ("stl", "0000", "0001"))]


def test_resumed_url_runs_have_unique_tensorboard_points(place, tmp_path):
    drive_at(place, "tensorboard", stop=("0000", 2))
    before = set((tmp_path / "bucket").rglob("events.out.*"))
    store, notes = drive_at(place, "tensorboard")
    drive_at(place, "tensorboard", "calm")
    assert not notes and store.list("tensorboard")
    found, calm = (tmp_path / "bucket" / "toy" / name / "tensorboard" for name in ("first", "calm"))
    for name in ("0000", "0001", "stl", "."):
        assert scalars(found / name) == scalars(calm / name)
    assert {path.parent.name for path in before & set(found.rglob("events.out.*"))} == {
        "tensorboard"
    }, "the search goes on in a second file"


def test_offline_wandb_has_one_folder_per_trial(place):
    made = watched(place, [], trials=2)
    run = opening.create_run(made, {}, name="toy")
    for stamp, trials in (("20260101_000000", ("0000", "0001")), ("20260102_000000", ("0001",))):
        with run:
            for trial in trials:
                folder = run.path / "wandb" / f"offline-run-{stamp}-toy-first-{trial}" / "files"
                folder.mkdir(parents=True)
                (folder / "config.yaml").write_text("{}")
            assert run.flush() is None
        run = opening.open_run(run.address).drive()
    assert {name.partition("/")[0] for name in Store(run.address).list("wandb")} == {
        "offline-run-20260101_000000-toy-first-0000",
        "offline-run-20260102_000000-toy-first-0001",
    }


# ------------------------------------------------------------ the search has priority

PRINTS = '''
"""Observers for the tests: one that raises at a report, one that records its calls."""

from typing import Literal

from mtsearch.config.base import Model
from mtsearch.config.registry import method
from mtsearch.observers import Observer, observer


@method("observer", "raises")
class Raises(Model):
    """Raises at the first report."""

    name: Literal["raises"] = "raises"


@observer(Raises)
class Raising(Observer):
    def report(self, trial, report):
        raise ConnectionError("the server went away")


@method("observer", "lines")
class Lines(Model):
    """A line per call, in `lines.txt`."""

    name: Literal["lines"] = "lines"


@observer(Lines)
class InLines(Observer):
    def _say(self, *words):
        with (self.run / "lines.txt").open("a") as file:
            print(*words, file=file)

    def started(self, ended):
        self._say("started", len(ended))

    def trial(self, trial):
        self._say("trial", trial.trial, len(trial.reports))

    def report(self, trial, report):
        self._say("report", trial.trial, report["report"])

    def ended(self, trial, standing):
        self._say("ended", trial.trial, trial.state, standing.front)

    def tested(self, trial):
        self._say("tested", trial.trial, *trial.test)

    def finished(self, standing, front):
        self._say("finished", *sorted(standing.states.items()), *front)
'''


@pytest.fixture
def plugin(tmp_path, forget_plugins):
    (tmp_path / "prints.py").write_text(PRINTS)
    return str(tmp_path / "prints.py")


def test_plug_in_observers_that_raise_are_switched_off(search, plugin):
    order("raise", 2, 2)
    code, run, text = search(
        watched(search.root, ["raises", "lines"], [plugin], trials=2, epochs=2)
    )
    assert (
        code == 0
        and text.count(
            "the observer raises is switched off, the search continues: ConnectionError: the server"
            " went away"
        )
        == 1
    )
    lines = (run.path / "lines.txt").read_text().splitlines()
    assert lines == [
        *("started 0", "trial stl 0", "report stl 1", "report stl 2", "ended stl done 0"),
        *("trial 0000 0", "report 0000 1", "report 0000 2", "ended 0000 done 1"),
        *("trial 0001 0", "report 0001 1", "ended 0001 failed 1"),
        *(
            "tested 0000 test/image/error test/digit/error",
            "tested stl test/image/error test/digit/error",
        ),
        "finished ('done', 2) ('failed', 1) 0000",
    ]


def test_a_resumed_search_tells_each_thing_once(search, plugin):
    _, run, _ = search(watched(search.root, "lines", [plugin], trials=1, epochs=2))
    search.resume(run, {"search.trials": 2, "plugins": [plugin]})
    lines = (run.path / "lines.txt").read_text().splitlines()
    second = lines[lines.index("started 2") :]
    assert second[1] == "trial 0001 0" and not [
        line for line in second if " 0000 1" in line or "report stl" in line
    ]
    seen = [line for line in lines if line.startswith(("report", "ended", "tested"))]
    assert len(seen) == len(set(seen))


def test_observers_without_their_package_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(observer_of(methods("observer")["mlflow"]()), "package", "no_such_package")
    with pytest.raises(
        BadInput,
        match=(
            r"`monitor` names `mlflow`, whose package no_such_package is not installed. Install it"
            r" with `pip"
        ),
    ):
        check_observers(watched(tmp_path, "mlflow"))
    for value, said in (
        ("tensorbord", "`monitor` is unknown: 'tensorbord'. Did you mean `tensorboard`?"),
        ("[wandb, wandb]", "`monitor` should name each observer once. Found `wandb` 2 times."),
        ("{name: mlflow, urii: x}", "unknown key `monitor.urii`. Did you mean `monitor.uri`?"),
    ):
        assert main(["space=pareto_cm", f"monitor={value}", "--cfg"]) == 2
        assert said in capsys.readouterr().err


def test_settings_without_an_observer_are_refused(tmp_path):
    from mtsearch.config.observers import TensorBoardObserverConfig

    class Other(TensorBoardObserverConfig):
        """An observer that is not registered."""

    with pytest.raises(BadInput, match="`Other` has no implementation"):
        observer_of(Other())


def test_every_trial_state_is_counted(tmp_path):
    manager = opened(space(tmp_path, trials=3))
    with dispatch_events(manager, print) as dispatcher:
        first, second = manager.next_trial(), manager.next_trial()
        manager.failed(first.trial, "it was ordered to")
        third = manager.next_trial()
        manager.reports(third.trial, [report(1)])
        manager.done(third.trial, 1)
        assert (
            dispatcher._status.states == {"running": 1, "failed": 1, "done": 1}
            and second.state == "running"
        )
        assert dispatcher._status.front == 1
    manager.run.log.close()


PAGE = Path(mtsearch.__file__).parent.parent / "docs" / "monitoring.md"


@pytest.mark.skipif(not PAGE.is_file(), reason="reads the clone that the package was built from")
def test_documented_observer_works(tmp_path, capsys, forget_plugins):
    (code,) = re.findall(r"^```python\n# lines.py\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    (tmp_path / "page_lines.py").write_text(code)
    run, notes = drive(watched(tmp_path, "lines", [str(tmp_path / "page_lines.py")], trials=2))
    said = [line.split()[:3] for line in capsys.readouterr().err.splitlines()]
    assert (
        said == [[f"toy/{run.path.name}", name, "done"] for name in ("stl", "0000", "0001")]
        and not notes
    )
