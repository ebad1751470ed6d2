"""A job: one trial trained report by report, or the test of one, in the process that has it. Knows nothing of Ray."""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from mtsearch.config.plugins import load_plugins
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.tuning.record import reason_of
from mtsearch.tuning.states import FolderStates, StoreStates, states_of
from mtsearch.tuning.storage import StoreError

if TYPE_CHECKING:
    from mtsearch.training import World

TRIAL_CLASS = "mtsearch.population:trial_class_for"


class Job:
    """Trains or tests what a text of JSON describes.

    It holds ``{"purpose": "train" or "test", "folder" or "store": of the checkpoint, "config": tree, "data": tree, "gpu": share of one,
    "plugins": their names, "trial_class": "module:Class"}``. Without a share of a GPU a trial sees none, as no slot counts it.
    After every report the state is saved, atomically, before the report is returned (in a store: when it is time, see
    `mtsearch.tuning.states`). A trial that is found on disk continues from there,
    and its first step returns all reports made so far, because some may never have reached the driver; the driver drops those it has.
    An exception ends the trial as failed with one line; the job itself never raises.

    Args:
        text: the description.
        world: the ranks that do this job together, each with a `Job` of its own; rank 0 keeps the state. None where one process does.
    """

    def __init__(self, text: str, world: World | None = None) -> None:
        job = json.loads(text)
        self._ranks = () if world is None else (world,)
        self._keeps = world is None or world.rank == 0
        self.purpose = job["purpose"]
        self._trial: Any = None
        self._states: FolderStates | StoreStates | None = None
        self._again: list[dict[str, Any]] = []
        self._failed: str | None = None
        try:
            # Before a plug-in or the first trial imports torch, whose OpenMP reads it once; the driver has validated the tree.
            os.environ["OMP_NUM_THREADS"] = str(job["config"].get("threads", TrialConfig.model_fields["threads"].default))
            if not job.get("gpu", 0):
                os.environ["CUDA_VISIBLE_DEVICES"] = ""  # likewise, and whatever Ray leaves visible to actors that ask for none
            load_plugins(job["plugins"])
            trial_config = TrialConfig.model_validate(job["config"])
            trial_class = trial_class_of(job["trial_class"], trial_config)
            data = DataConfig.model_validate(job["data"])
            self._states = states_of(job, world)
            self._trial = self._restore_or_none(trial_class, data)
            if self._trial is None:
                self._trial = trial_class(trial_config, data, *self._ranks)
            self._again = list(self._trial.reports)
        except Exception as error:  # whatever a trial's code raises ends this trial and no other
            self._failed = reason_of(error)

    def _restore_or_none(self, trial_class: Any, data: DataConfig) -> Any:
        """The trial that was saved, if any; None where an unfinished one is damaged: trained again, it makes the same reports."""
        assert self._states is not None
        try:
            folder = self._states.find()
            if self.purpose == "test" or trial_class.saved(folder):
                return trial_class.restore(folder, data, *self._ranks)
        except Exception as error:
            # A plain ValueError: other data than it was trained on. A StoreError: a store that is silent to this one of several ranks.
            if self.purpose == "test" or type(error) is ValueError or (self._ranks and isinstance(error, StoreError)):
                raise
        return None

    def step(self) -> dict[str, Any]:
        """The next report, or those that a restored trial had made; of a test, its metrics.

        Returns ``{"reports": [...], "done": bool, "failed": reason or None, "selected": report number or None, "store": what went wrong
        with it or None, "gpu_memory": bytes that this process has held at most, or None}``, of a test ``{"test": metrics or None, "done":
        True, "failed": reason or None}``.
        """
        if self.purpose == "test":
            return self._test()
        reports, self._again = self._again, []
        if self._failed is None and not reports:
            try:
                reports = [next(self._trial)]
                if self._keeps and self._states is not None:
                    self._states.keep(self._trial, bool(self._trial.finished))
            except Exception as error:  # as above
                reports, self._failed = [], reason_of(error)
        done = self._failed is not None or bool(self._trial.finished)
        selected = self._trial.selected["report"] if done and self._failed is None else None
        problem = self._states.problem if self._states is not None else None
        ended = {"done": done, "failed": self._failed, "selected": selected}
        return {"reports": reports, **ended, "store": problem, "gpu_memory": _gpu_memory()}

    def _test(self) -> dict[str, Any]:
        metrics = None
        if self._failed is None:
            try:
                metrics = self._trial.evaluate("test")
            except Exception as error:  # as above
                self._failed = reason_of(error)
        return {"test": metrics, "done": True, "failed": self._failed}

    def close(self) -> None:
        """Let go of the trial; the process may get another."""
        if self._trial is not None:
            self._trial.close()
            self._trial = None
        if self._states is not None:
            self._states.close()


def _gpu_memory() -> int | None:
    """The most bytes of GPU memory that torch has held for tensors in this process; None where it has used no GPU."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    return int(cuda.max_memory_allocated()) if cuda is not None and cuda.is_initialized() else None


def trial_class_of(path: str, config: TrialConfig) -> Any:
    """The class at ``module:Class``, or what the function there gives for the configuration. It is made as
    ``Class(TrialConfig, DataConfig)`` and has `__next__`, `finished`, `reports`, `selected`, `save`, `saved`, `restore`, `evaluate` and
    `close`, as `mtsearch.training.Trial`."""
    module, _, name = path.partition(":")
    found = getattr(importlib.import_module(module), name)
    return found if isinstance(found, type) else found(config)
