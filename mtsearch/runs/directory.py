"""The run directory: all that is known about a search or a training, enough to resume, report and
export it on another machine."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtsearch.config.errors import BadInput, nearest
from mtsearch.config.plugins import absolute_plugins
from mtsearch.config.schema import SpaceConfig
from mtsearch.config.space import Space
from mtsearch.config.text import printable
from mtsearch.config.trust import refuse_untrusted
from mtsearch.config.yaml_text import parse_yaml
from mtsearch.pareto.controls import mark_candidates
from mtsearch.runs.commands import command_of
from mtsearch.runs.event_checks import RESUMABLE
from mtsearch.runs.events import EventReader, read_events
from mtsearch.runs.points import point_settings
from mtsearch.runs.rows import fill_defaults, history_of, row_of
from mtsearch.runs.state import RunState
from mtsearch.runs.storage import (
    CHECKPOINTS,
    CONFIG,
    ENVIRONMENT,
    EVENTS,
    JOURNAL,
    FolderStorage,
    RunStorage,
    check_links,
)

if TYPE_CHECKING:
    from mtsearch.runs.driven import DrivenRun

PLACES = ("data.root", "data.store", "plugins")  # where a resume finds the same data and plug-ins

__all__ = ["PLACES", "RESUMABLE", "RunDirectory", "refuse_fixed"]


def refuse_fixed(keys: Iterable[str]) -> None:
    """Raises BadInput where one of these keys cannot change on resume."""
    for key in keys:
        if key not in (*RESUMABLE, *PLACES):
            raise BadInput(
                f"`{key}` cannot change on resume; only {', '.join((*RESUMABLE, *PLACES))} can."
                " Start a new run with `space=`."
            )


class RunDirectory:
    """``results/<space>/<run id>/``, opened to be read: ``config.yaml``, ``environment.json``,
    ``events.jsonl``, ``checkpoints/``.

    Reading needs no lock and sees every whole event, also while another process drives the run.
    `drive` gives the run to write.

    Args:
        path: of the folder; of a run in an object store, of its local copy.
        plugins: the plug-ins that the user names, which replace those of the run's configuration;
            None takes the run's own, where they are trusted (see `mtsearch.config.trust`).
        storage: where the run is kept; None for `path` itself.

    Raises:
        BadInput: `path` is not a run directory, or it contains a link.
    """

    def __init__(
        self,
        path: str | Path,
        plugins: Sequence[str] | None = None,
        storage: RunStorage | None = None,
    ) -> None:
        self.path = Path(path)
        self.storage: RunStorage = storage or FolderStorage(self.path)
        self.plugins = None if plugins is None else absolute_plugins(plugins)
        self._check_files()
        self._reader, self._state = EventReader(self.events_path), RunState()
        self._began = self._first_event()

    def _check_files(self) -> None:
        if not self.events_path.is_file() or not (self.path / CONFIG).is_file():
            beside = self.path.parent.glob(f"*/{EVENTS}") if self.path.parent.is_dir() else ()
            near = [str(p.parent) for p in beside if p.is_file() and (p.parent / CONFIG).is_file()]
            hint = (
                nearest(str(self.path), near)
                if near
                else "A run prints its directory as its last line, `run: PATH`."
            )
            raise BadInput(
                f"{self.path} is not a run directory: it contains no {CONFIG} and {EVENTS}. {hint}"
            )
        check_links(self.path)

    def _first_event(self) -> RunState:
        """The state after the first event, which contains the run's id."""
        state, reader = RunState(), EventReader(self.events_path)
        for event in reader.read_new():
            _fold(state, event, reader)
            return state
        raise BadInput(
            f"{self.address} is not a run directory: its {EVENTS} contains no event. Restore the"
            " file from a copy, or start a new run."
        )

    def drive(self) -> DrivenRun:
        """The same run to write, for ``with``."""
        from mtsearch.runs.driven import DrivenRun

        return DrivenRun(self.path, self.plugins, self.storage)

    # ------------------------------------------------------------ where it is

    @property
    def address(self) -> str:
        """The folder or URL: what ``resume=`` and ``run=`` take."""
        return self.storage.address

    @property
    def events_path(self) -> Path:
        """The file of the events."""
        return self.path / EVENTS

    @property
    def journal(self) -> Path:
        """Optuna's journal."""
        return (self.path / JOURNAL).resolve()

    @property
    def name(self) -> str:
        """The run's own name, without its folder."""
        if self.storage.shared_folder is None:
            return self.address.rpartition("/")[2]
        return self.path.resolve().name

    @property
    def title(self) -> str:
        """``<space>/<run id>``, which is the same under every driver."""
        return f"{self._stored.config.name}/{self.name}"

    @property
    def run_id(self) -> str:
        """The id that every event and checkpoint of the run has."""
        return self._began.run_id

    @property
    def schema(self) -> int:
        """Version of the event log."""
        return self._began.schema

    @property
    def single(self) -> bool:
        """Whether the run is one training and no search."""
        return self._began.single

    # ------------------------------------------------------------ what is stored

    @cached_property
    def _stored(self) -> Space:
        """The space as the run began."""
        path = self.path / CONFIG
        try:
            data = path.read_bytes()
            tree = parse_yaml(data.decode(), str(path))
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split()).rstrip(".")[:300]
            raise BadInput(
                f"{path} cannot be read: {reason}. Restore the file from a copy."
            ) from None
        if not isinstance(tree, dict):
            raise BadInput(
                f"{path} contains no configuration of a run. Restore the file from a copy."
            )
        began = self._began.config_sha256
        if began is not None and began != hashlib.sha256(data).hexdigest():
            raise BadInput(
                f"{path} was changed after the run had begun. Restore the file from a copy, or"
                " start a new run with the changed settings."
            )
        if self.plugins is None:
            refuse_untrusted(self.path, self.run_id, tree.get("plugins") or [])
        else:
            tree = {**tree, "plugins": self.plugins}
        if isinstance(search := tree.get("search", {}), dict):  # TPE was the default before
            tree = {**tree, "search": {"sampler": "tpe", **search}}
        return Space(tree)

    @property
    def space(self) -> Space:
        """The space as the run began, with the settings that resumes changed."""
        return self.space_with({})

    def space_with(self, changes: Mapping[str, Any]) -> Space:
        """The same with further changes of `RESUMABLE` settings and `PLACES` by key path."""
        changes = {**self.state().changes, **changes}
        if not changes:
            return self._stored
        raw = copy.deepcopy(self._stored.raw)
        for key, value in changes.items():
            *sections, leaf = key.split(".")
            tree = raw
            for section in sections:
                tree[section] = tree = dict(tree.get(section) or {})
            tree[leaf] = value
        return Space(raw)

    @property
    def config(self) -> SpaceConfig:
        """The configuration, with the settings that resumes changed."""
        return self.space.config

    @property
    def environment(self) -> dict[str, Any]:
        """Versions, cores, label and checksum of the dataset at the start of the run."""
        path = self.path / ENVIRONMENT
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise BadInput(
                f"{path} cannot be read ({type(error).__name__}: {error}). Restore the file from a"
                " copy."
            ) from None
        if not isinstance(found, dict):
            raise BadInput(
                f"{path} contains no description of a run. Restore the file from a copy."
            )
        return found

    def events(self) -> Iterator[dict[str, Any]]:
        """All whole events, in order."""
        return read_events(self.events_path)

    def state(self) -> RunState:
        """The trials of the run. The first call reads all events, later calls those that were
        written since; all return the same object, which the caller must not change."""
        if self._reader.replaced():
            self.forget_state()
        try:
            _read_into(self._state, self._reader)
        except BadInput:
            self.forget_state()
            raise
        return self._state

    def forget_state(self) -> None:
        """Drop what `state` holds, all reports of all trials; the next call reads them again."""
        self._reader, self._state = EventReader(self.events_path), RunState()

    def read_state(self, slim: bool = False) -> RunState:
        """The trials of the run as an object of the caller's own; `slim` without the reports that
        were not selected of trials that ended."""
        state = RunState(slim=slim)
        _read_into(state, EventReader(self.events_path))
        return state

    def rows(self) -> list[dict[str, Any]]:
        """One row per trial or, where it yields several, per point, with the keys of `row_of` and
        the defaults of settings that other rows name: search trials by number, then controls by
        name."""
        state, space, dataset = self.state(), self._stored, str(self.environment.get("dataset", ""))
        rows, records = [], []
        for trial in state.sorted():
            command = command_of(state, trial, space)
            rows += [
                row_of(record, dataset, command, point_settings(trial.config, record.point))
                for record in trial.rows
            ]
            records += trial.rows
        fill_defaults(rows, records)
        mark_candidates(rows)
        return rows

    def history(self) -> list[dict[str, Any]]:
        """One row per report: `trial`, `report`, `epoch`, `phase` and the metrics."""
        return [row for trial in self.state().sorted() for row in history_of(trial)]

    def timeline(self) -> dict[str, tuple[float, float]]:
        """When each trial began and when it ended or reported last, in working seconds of the
        run's drivers."""
        return {trial.trial: (trial.began, trial.last) for trial in self.state().sorted()}

    # ------------------------------------------------------------ checkpoints

    def checkpoint(self, trial: str) -> Path:
        """The folder of a trial's checkpoint, where the run is in a folder."""
        return self.path / CHECKPOINTS / trial

    def fetch_checkpoint(self, trial: str) -> Path:
        """A local folder that contains the checkpoint of a trial, if it keeps one."""
        record = self.state().find(trial)
        if record is None:
            raise BadInput(f"{self.address} has no trial `{trial}`.")
        return self.storage.fetch_checkpoint(trial, record.config)


def _read_into(state: RunState, reader: EventReader) -> None:
    for event in reader.read_new():
        _fold(state, event, reader)


def _fold(state: RunState, event: Mapping[str, Any], reader: EventReader) -> None:
    if reader.line == 1 and event["event"] != "run":
        kind = printable(event["event"][:20])
        raise BadInput(
            f"line 1 of {reader.path} does not begin a run: it is a `{kind}` event. Restore the"
            " file from a copy."
        )
    state.fold(event, reader.line)
