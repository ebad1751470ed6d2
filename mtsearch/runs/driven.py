"""A run that this process drives: the only object that writes a run."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mtsearch.config.text import printable
from mtsearch.runs.attachments import MAX_BYTES, log_file, predictions_file
from mtsearch.runs.checkpoints import CheckpointLocation
from mtsearch.runs.directory import RunDirectory
from mtsearch.runs.events import EventLog
from mtsearch.runs.storage import RunStorage


class DrivenRun(RunDirectory):
    """A run to write, for ``with``: within it, no other process drives the run. Arguments as
    `RunDirectory`."""

    def __init__(
        self,
        path: str | Path,
        plugins: Sequence[str] | None = None,
        storage: RunStorage | None = None,
    ) -> None:
        super().__init__(path, plugins, storage)
        self.log = EventLog(self.events_path, self.run_id)
        self._stack = ExitStack()
        self._problems: list[str] = []  # of uploads by jobs
        self._shown = 0  # how many of them were returned

    def __enter__(self) -> Self:
        every = self.config.results.upload_every
        self.log = self._stack.enter_context(self.storage.drive(self.run_id, every))
        self.path = self.log.path.parent
        # other drivers may have written since this object was made
        self.forget_state()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    @property
    def location(self) -> str:
        """For users: the address, and the working copy where that is another folder."""
        if self.storage.shared_folder is not None:
            return self.address
        return f"{self.address} (working copy {self.path})"

    # ------------------------------------------------------------ state of the storage

    @property
    def abort_reason(self) -> str | None:
        """Why this driver has to stop, once it has to."""
        return self.storage.abort_reason

    def pop_messages(self) -> list[str]:
        """Lines for the user about the place of the run, each once."""
        new, self._shown = self._problems[self._shown :], len(self._problems)
        return [*self.storage.pop_messages(), *new]

    def on_store_error(self, problem: str | None) -> None:
        """Note that a job could not upload its checkpoint; None is not a problem."""
        if problem is not None:
            line = f"{problem} The checkpoint waits on its machine."
            if line not in self._problems:
                self._problems.append(line)

    def flush(self) -> str | None:
        """Bring everything to where the run is kept. Returns a sentence where that failed."""
        return self.storage.flush()

    # ------------------------------------------------------------ files of trials

    def attach_predictions(self, trial: str, predictions: Mapping[str, Any] | None) -> None:
        """Keep the predictions of a test beside its event; nothing where there are none."""
        if predictions is not None:
            self._attach(predictions_file(trial), json.dumps(predictions, allow_nan=False))

    def attach_log(self, trial: str, log: str | None) -> None:
        """Keep the last lines of a failed trial; nothing where there are none."""
        if log:
            self._attach(log_file(trial), printable(log, lines=True))

    def _attach(self, name: str, text: str) -> None:
        try:
            if len(text.encode("utf-8", "replace")) <= MAX_BYTES:
                self.storage.attach(name, text)
        except OSError as error:  # the run is complete without it
            self._problems.append(f"{name} cannot be written ({error.strerror or error}).")

    # ------------------------------------------------------------ checkpoints

    def checkpoint_location(
        self, trial: str, config: Mapping[str, Any], expected: bool = False
    ) -> CheckpointLocation:
        """Where the job of a trial keeps its checkpoint; `expected`: whether there should be
        one."""
        return self.storage.checkpoint_location(trial, config, expected)

    def delete_checkpoint(self, trial: str) -> None:
        """Delete the checkpoint of a trial, if there is one."""
        self.storage.delete_checkpoint(trial)

    def prune_checkpoints(self, keep: Collection[str], known: Collection[str]) -> None:
        """Delete the checkpoints of the trials in `known` that are not in `keep`, and what
        interrupted saves left. For the driver, before it starts trials."""
        self.storage.prune_checkpoints(keep, known)
