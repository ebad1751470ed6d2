"""A job: a trial that is trained report by report, or tested, in this process. Independent of
Ray."""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mtsearch.config.errors import Damaged, reason_of
from mtsearch.config.metrics import LATENCY
from mtsearch.config.plugins import load_plugins
from mtsearch.config.schema import DataConfig, Latency, NoSparsityConfig, TrialConfig
from mtsearch.jobs.description import JobDescription
from mtsearch.jobs.failures import log_of
from mtsearch.runs.checkpoints import FolderCheckpoints, ObjectStoreCheckpoints, config_key
from mtsearch.runs.events import plain
from mtsearch.runs.messages import StepResult
from mtsearch.runs.object_store import StoreError
from mtsearch.runs.points import point_config, point_name

if TYPE_CHECKING:
    from mtsearch.training import TrialProtocol, World

_LOGGER = logging.getLogger(__name__)


class Job:
    """Trains or tests a trial, one report per step.

    After every report the checkpoint is saved, before the report is returned (in an object store
    only when an upload is due, see `mtsearch.runs.checkpoints`). A trial that has a checkpoint
    continues from it, and its first step returns all its earlier reports, because some may not have
    reached the driver; the driver drops those that it has. An exception ends the trial as failed
    with one line; the job itself never raises. If the checkpoint cannot be written or the data are
    damaged, no trial can continue, and the run has to stop.

    Args:
        text: a `JobDescription` as JSON.
        world: the ranks that run this job together, each with a `Job` of its own; rank 0 saves the
            checkpoint. None for one process.
    """

    def __init__(self, text: str, world: World | None = None) -> None:
        job = JobDescription.from_json(text)
        self._job, self.purpose, self._owner = job, job.purpose, job.owner
        self._ranks = () if world is None else (world,)
        self._saves = world is None or world.rank == 0
        self._trial: Any = None
        self._checkpoints: FolderCheckpoints | ObjectStoreCheckpoints | None = None
        self._parent: FolderCheckpoints | ObjectStoreCheckpoints | None = None
        self._latency = None if job.latency is None else Latency.model_validate(job.latency)
        self._early: dict[str, float] | None = None  # measured at the first report
        self._repeated: list[dict[str, Any]] = []  # earlier reports of a restored trial
        self._failed: str | None = None
        self._log: str | None = None  # the last lines of the exception that `_failed` names
        self._halt: str | None = None  # why no trial can continue
        self._note: str | None = None
        self._store_error: str | None = None  # of a point's checkpoint
        try:
            # Set before a plug-in or the first trial imports torch, because OpenMP reads it once;
            # the driver has validated the configuration.
            os.environ["OMP_NUM_THREADS"] = str(
                job.config.get("threads", TrialConfig.model_fields["threads"].default)
            )
            if not job.gpu:
                # Also before torch; Ray may leave GPUs visible to actors that request none.
                os.environ["CUDA_VISIBLE_DEVICES"] = ""
            load_plugins(job.plugins)
            trial_config = TrialConfig.model_validate(job.config)
            trial_class = trial_class_of(job.trial_class, trial_config)
            data = DataConfig.model_validate(job.data)
            self._checkpoints = job.checkpoint.open(world)
            self._trial = self._restore_or_none(trial_class, data)
            if self._trial is None:
                self._trial = trial_class(trial_config, data, *self._ranks)
                if job.parent is not None:
                    from mtsearch.training.lineage import ParentCheckpoint  # imports torch

                    self._parent = job.parent.open(world)
                    folder = self._parent.find()
                    self._trial.parent_checkpoint = ParentCheckpoint(folder, job.parent_owner)
            self._repeated = list(self._trial.reports)
        except Damaged as error:
            self._halt = str(error)
        except Exception as error:  # an exception of a trial's code ends only this trial
            self._fails(error)

    def _restore_or_none(self, trial_class: Any, data: DataConfig) -> Any:
        """The saved trial, if any; None if the checkpoint of an unfinished trial is damaged, as
        training it again gives the same reports."""
        assert self._checkpoints is not None
        try:
            folder = self._checkpoints.find()
            if self.purpose == "test" or trial_class.saved(folder):
                world = self._ranks[0] if self._ranks else None
                return trial_class.restore(folder, data, world, self._owner)
        except Exception as error:
            # A plain ValueError means data other than those it was trained on; a StoreError means
            # that the store failed for this one of several ranks.
            unreachable = bool(self._ranks) and isinstance(error, StoreError)
            if self.purpose == "test" or type(error) in (ValueError, Damaged) or unreachable:
                raise
            self._note = (
                f"trained again from its start, as its state could not be read: {reason_of(error)}"
            )
        return None

    def step(self) -> StepResult:
        """The next report, or all reports of a restored trial; of a test, its metrics."""
        if self.purpose == "test":
            return self.test()
        reports, self._repeated = self._repeated, []
        note, self._note = self._note, None
        selected, done, measured = None, True, None
        points: tuple[dict[str, Any], ...] = ()
        if self._failed is None and self._halt is None:
            try:
                assert self._trial is not None
                reports = reports or self._next(self._trial)
                done = self._halt is not None or bool(self._trial.finished)
                selected = self._trial.selected["report"] if done and self._halt is None else None
                if selected is not None:
                    points = self._points()
                    selected = None if self._halt is not None else selected
                if self._latency is not None and self._saves and reports:
                    reports, measured = self._measured(reports, self._latency, done)
            except Exception as error:  # ends only this trial
                self._fails(error)
                reports, done, selected, measured = [], True, None, None
        return StepResult(
            reports=tuple(reports),
            done=done,
            failed=self._failed,
            selected=selected,
            points=points,
            halt=self._halt,
            note=note,
            store_error=self._store_error or getattr(self._checkpoints, "problem", None),
            gpu_memory=_gpu_memory(),
            measured=measured,
            log=self._log,
        )

    def _fails(self, error: Exception) -> None:
        self._failed, self._log = reason_of(error), log_of(error)

    def _measured(
        self, reports: list[dict[str, Any]], settings: Latency, done: bool
    ) -> tuple[list[dict[str, Any]], dict[str, float] | None]:
        """The reports with the latency of the network. It is measured once, at the first report;
        of a network that training makes sparse once more at the end, which is the second value."""
        if self._early is None:
            self._early = self._latency_now(settings)
        reports = [{**report, **self._early} for report in reports]
        sparse = not isinstance(self._trial.config.sparsity, NoSparsityConfig)
        return reports, self._latency_now(settings) if done and sparse else None

    def _latency_now(self, settings: Latency) -> dict[str, float]:
        from mtsearch.jobs.latency import latency_of  # imports torch

        shape = self._trial.dataset.card.shape
        return {LATENCY: latency_of(self._trial.selected_model(), shape, settings)}

    def _next(self, trial: TrialProtocol) -> list[dict[str, Any]]:
        """The next report, after its checkpoint is saved; empty if that cannot be written."""
        report = next(trial)
        # A report that is not valid JSON must fail the trial here, not the driver later.
        json.dumps(plain(report), ensure_ascii=False).encode()
        if self._saves and self._checkpoints is not None:
            try:
                self._checkpoints.save(trial, self._owner, bool(trial.finished))
            except OSError as error:
                self._halt = _unwritable(error)
                return []
        return [report]

    def _points(self) -> tuple[dict[str, Any], ...]:
        """Settings and metrics of every point of a trial that yields several, after their
        checkpoints are saved."""
        assert self._trial is not None and self._checkpoints is not None
        found = []
        for index, point in enumerate(getattr(self._trial, "points", tuple)()):
            entry = {**point.settings, "metrics": point.metrics}
            json.dumps(plain(entry), ensure_ascii=False).encode()
            found.append(entry)
            if self._saves and not self._save_point(index, point):
                return ()
        return tuple(found)

    def _save_point(self, index: int, point: Any) -> bool:
        """Save the checkpoint of a point; False if it cannot be written."""
        name = point_name(self._job.checkpoint.trial, index)
        config = point_config(self._job.config, point.settings)
        owner = self._owner and replace(self._owner, trial=name, config=config_key(config))
        checkpoints = self._job.checkpoint.of_point(name, config).open(None)
        try:
            checkpoints.save(point, owner, True)
            self._store_error = self._store_error or checkpoints.problem
        except OSError as error:
            self._halt = _unwritable(error)
        finally:
            checkpoints.close()
        return self._halt is None

    @property
    def total_epochs(self) -> float | None:
        """Total epochs of the trial; None if it could not be created."""
        return None if self._trial is None else self._trial.total_epochs

    def test(self) -> StepResult:
        """The test metrics of the trial and its predictions. Never raises."""
        metrics = predictions = None
        if self._failed is None and self._halt is None:
            try:
                assert self._trial is not None
                tables: dict[str, Any] = {}
                found = self._trial.evaluate("test", tables)
                json.dumps(plain(found), ensure_ascii=False).encode()
                metrics = found
            except Exception as error:  # ends only this trial
                self._fails(error)
            else:
                predictions = self._predictions(tables) if self._saves else None
        return StepResult(
            done=True,
            test=metrics,
            failed=self._failed,
            halt=self._halt,
            predictions=predictions,
            log=self._log,
        )

    def _predictions(self, tables: Mapping[str, Any]) -> dict[str, Any] | None:
        """Tables of counts and examples of the test; None where a network cannot compute single
        images, as the metrics count without them."""
        from mtsearch.jobs.predictions import predictions_of  # imports torch
        from mtsearch.training.checkpointed import CheckpointedTrial

        if not isinstance(self._trial, CheckpointedTrial):
            return None
        try:
            return predictions_of(self._trial, tables)
        except Exception as error:
            _LOGGER.warning("the examples of a test cannot be computed: %s", reason_of(error))
            return None

    def close(self) -> None:
        """Release the trial. Exceptions are ignored, because the process may get another job."""
        if self._trial is not None:
            with suppress(Exception):
                self._trial.close()
            self._trial = None
        for checkpoints in (self._checkpoints, self._parent):
            if checkpoints is not None:
                checkpoints.close()


def _unwritable(error: OSError) -> str:
    return (
        f"the state of a trial cannot be written to {error.filename or 'its folder'}"
        f" ({error.strerror or error})."
    )


def _gpu_memory() -> int | None:
    """The peak GPU memory that torch has allocated in this process, in bytes; None if it has used
    no GPU."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    return int(cuda.max_memory_allocated()) if cuda is not None and cuda.is_initialized() else None


def trial_class_of(path: str, config: TrialConfig) -> type[TrialProtocol]:
    """The class at ``module:Class``, or the class that the function there returns for the
    configuration."""
    module, _, name = path.partition(":")
    found = getattr(importlib.import_module(module), name)
    trial_class: type[TrialProtocol] = found if isinstance(found, type) else found(config)
    return trial_class
