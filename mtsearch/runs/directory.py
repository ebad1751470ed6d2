"""The run directory: the one truth about a search, enough to resume, report and export it on
another machine."""

from __future__ import annotations

import copy
import errno
import json
import os
import shutil
import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import filelock
import yaml

from mtsearch.config.errors import BadInput, Halt, nearest
from mtsearch.config.files import write_atomic
from mtsearch.config.plugins import refuse_inside
from mtsearch.config.schema import SpaceConfig
from mtsearch.config.space import Space
from mtsearch.runs.commands import command_of
from mtsearch.runs.events import EventLog
from mtsearch.runs.folders import begin, new_run_name, results_folder
from mtsearch.runs.rows import fill_defaults, history_of, row_of
from mtsearch.runs.state import RunState

RESUMABLE = ("search.trials", "search.budget", "search.slots")  # what a resume may change
PLACES = (
    "data.root",
    "data.store",
    "plugins",
)  # where a resume may find the same data and plug-ins


class RunDirectory:
    """``results/<space>/<run id>/`` with ``config.yaml``, ``environment.json``, ``events.jsonl``,
    ``study.journal``, ``checkpoints/``.

    Reading needs no lock and sees every whole event; writing is for the one driver that holds
    `driver_lock`.
    """

    def __init__(self, path: str | Path, plugins: Sequence[str] | None = None) -> None:
        """Open an existing run, with `plugins` in place of its own, where they have moved. Raises
        BadInput where `path` is none."""
        self.path = Path(path)
        self._plugins = plugins
        if not (self.path / "events.jsonl").is_file() or not (self.path / "config.yaml").is_file():
            beside = self.path.parent.glob("*/events.jsonl") if self.path.parent.is_dir() else ()
            near = [str(p.parent) for p in beside if (p.parent / "config.yaml").is_file()]
            hint = (
                nearest(str(self.path), near)
                if near
                else "A run prints its directory as its last line, `run: PATH`."
            )
            raise BadInput(
                f"{self.path} is no run directory: it holds no config.yaml and events.jsonl. {hint}"
            )
        self.log = EventLog(self.path / "events.jsonl")

    @classmethod
    def create(
        cls,
        space: Space,
        environment: Mapping[str, Any],
        *,
        name: str,
        profile: str | None = None,
        overrides: Sequence[str] = (),
        root: str | Path | None = None,
        single: bool = False,
    ) -> RunDirectory:
        """Make the directory of a new run of the space given as `name` with `overrides`, below
        `root` (default: `results.root`).

        `single` marks one training that is no search. Raises BadInput where no directory can be
        made.
        """
        parent = results_folder(space, root)
        stamp = space.config.results.run or new_run_name()
        hidden = (
            parent / f".{stamp}.{uuid.uuid4().hex[:8]}"
        )  # a crash before the end leaves no half of a run
        try:
            hidden.mkdir()
            begin(hidden, space, environment, name, profile, overrides, single)
        except (OSError, Halt) as error:
            shutil.rmtree(hidden, ignore_errors=True)
            cause = getattr(error.__cause__ or error, "strerror", error)
            raise BadInput(
                f"no run can begin in {parent} ({cause}). Make room there, or set another"
                " `results.root`."
            ) from error
        number, path = 1, parent / stamp
        while True:
            try:
                hidden.rename(path)
                return cls(path)
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
                if space.config.results.run is not None:
                    shutil.rmtree(hidden, ignore_errors=True)
                    results_folder(space, root)  # refuses it
                number += 1
                path = parent / f"{stamp}-{number}"

    @contextmanager
    def driver_lock(self) -> Iterator[None]:
        """Hold the run as its only driver, on whichever machine. Raises BadInput where another
        process does; a dead one holds nothing."""
        lock, holder = (
            filelock.FileLock(str(self.path / ".driver.lock")),
            self.path / ".driver.holder",
        )
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            raise BadInput(
                f"the run {self.path} is being driven by {_read_line(holder) or 'another process'}."
                " Wait for its end or stop it, then resume again."
            ) from None
        except OSError as error:
            raise BadInput(
                f"the run {self.path} cannot be locked ({error.strerror}). Make the folder"
                " writable."
            ) from error
        try:
            with suppress(OSError):  # only for the sentence above
                write_atomic(holder, f"process {os.getpid()} on {socket.gethostname()}")
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()
            self.log.close()

    # ------------------------------------------------------------ where it is

    @property
    def address(self) -> str:
        """What `resume=` and `run=` take."""
        return str(self.path)

    @property
    def place(self) -> str:
        """The same for people, with where the files are meanwhile."""
        return self.address

    @property
    def name(self) -> str:
        """The run's own name, without where it is."""
        return self.path.resolve().name

    @property
    def title(self) -> str:
        """What names this run among others, under every driver: ``<space>/<run id>``."""
        return f"{self._stored.config.name}/{self.name}"

    @property
    def abort_reason(self) -> str | None:
        """Why this driver should stop, if it should; a run in a folder has none."""
        return None

    def pop_messages(self) -> list[str]:
        """Lines about the place of the run that its user should see, each once."""
        return []

    def on_store_error(self, problem: str | None) -> None:
        """Take note of what a trial's process says of keeping its state."""

    def flush(self) -> str | None:
        """Bring everything to where the run is kept. Returns a sentence where that failed."""
        return None

    def send_tables(self) -> None:
        """Bring the files that are derived from the events to where the run is kept."""

    # ------------------------------------------------------------ what is stored

    @cached_property
    def _stored(self) -> Space:
        path = self.path / "config.yaml"
        try:
            text = path.read_text(encoding="utf-8")
            tree = yaml.safe_load(text)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise BadInput(
                f"{path} is no readable YAML: {' '.join(str(error).split())[:200]}. Restore the"
                " file from a copy."
            ) from None
        if not isinstance(tree, dict):
            raise BadInput(f"{path} holds no configuration of a run. Restore the file from a copy.")
        if self._plugins is None:
            refuse_inside(self.path, tree.get("plugins") or [])
        return Space.from_yaml(text, self._plugins)

    @property
    def space(self) -> Space:
        """The space as the run started, with the settings that resumes changed."""
        return self.space_with({})

    def space_with(self, changes: Mapping[str, Any]) -> Space:
        """The same with further changes of `RESUMABLE` settings and `PLACES` by key path."""
        raw = copy.deepcopy(self._stored.raw)
        for key, value in {**self.state().changes, **changes}.items():
            section, _, leaf = key.partition(".")
            raw[section] = {**(raw.get(section) or {}), leaf: value} if leaf else value
        return Space(raw)

    @property
    def config(self) -> SpaceConfig:
        """The configuration, with the settings that resumes changed."""
        return self.space.config

    @property
    def environment(self) -> dict[str, Any]:
        """Versions, cores, dataset label and checksum at the start of the run."""
        path = self.path / "environment.json"
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BadInput(
                f"{path} cannot be read ({type(error).__name__}: {error}). Restore the file from a"
                " copy."
            ) from None
        if not isinstance(found, dict):
            raise BadInput(
                f"{path} says nothing of how the run was made. Restore the file from a copy."
            )
        return found

    def events(self) -> Iterator[dict[str, Any]]:
        """All whole events, in order."""
        return self.log.read()

    def state(self, slim: bool = False) -> RunState:
        """The events folded into trials; `slim` without the reports that were not selected."""
        return RunState.from_events(self.events(), slim)

    def rows(self) -> list[dict[str, Any]]:
        """One row a trial: search trials by number, then controls by name. Keys are those of
        `record.row_of`, with defaults."""
        state, space, dataset = self.state(), self._stored, str(self.environment.get("dataset", ""))
        trials = state.sorted()
        rows = [row_of(trial, dataset, command_of(state, trial, space)) for trial in trials]
        fill_defaults(rows, trials)
        return rows

    def history(self) -> list[dict[str, Any]]:
        """One row a report: `trial`, `report`, `epoch`, `phase` and the metrics."""
        return [row for trial in self.state().sorted() for row in history_of(trial)]

    # ------------------------------------------------------------ checkpoints

    def checkpoint(self, trial: str) -> Path:
        """Where a trial keeps its state."""
        return self.path / "checkpoints" / trial

    def kept_checkpoints(self) -> list[str]:
        """The trials whose state is there."""
        folder = self.path / "checkpoints"
        return (
            sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
            if folder.is_dir()
            else []
        )

    def states(
        self, trial: str, config: Mapping[str, Any], expected: bool = False
    ) -> dict[str, Any]:
        """The part of a job's description that says where its trial keeps its state; see
        `mtsearch.runs.checkpoints.checkpoints_of`."""
        return {"folder": str(self.checkpoint(trial).resolve())}

    def fetch(self, trial: str) -> Path:
        """A folder of this machine that holds a trial's state, if it keeps any."""
        return self.checkpoint(trial)

    def drop_checkpoint(self, trial: str) -> None:
        """Delete a trial's state; no error where there is none."""
        folder = self.checkpoint(trial)
        for path in [
            folder,
            *folder.parent.glob(f".{trial}.*"),
        ]:  # a save that a crash cut short leaves its beginnings
            shutil.rmtree(path, ignore_errors=True)

    def remove_partial_checkpoints(self) -> None:
        """Delete what saves that a kill cut short left; an older state stays where it is the only
        one. For the driver, before it starts."""
        for path in (self.path / "checkpoints").glob(".*.*"):
            name, _, kind = path.name[1:].rpartition(".")
            if kind != "old" or self.checkpoint(name).exists():
                shutil.rmtree(path, ignore_errors=True)

    @property
    def journal(self) -> Path:
        """Optuna's journal, absolute: a stale lock under a relative path would never be freed."""
        return (self.path / "study.journal").resolve()


def _read_line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
