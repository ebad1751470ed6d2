"""Weights & Biases: one W&B run per trial, one group per search."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mtsearch.config.observers import WandbObserverConfig
from mtsearch.config.space import Space
from mtsearch.observers.base import Observer, figures, parameters
from mtsearch.runs.directory import RunDirectory
from mtsearch.runs.state import RunState, TrialRecord
from mtsearch.runs.status import SearchStatus


class Wandb(Observer):
    """Settings are the W&B run's config; every number of a report is a point whose step is the
    report number; ``selected/<objective>`` and ``test/...`` are in the summary.

    A trial that continues or is tested opens its W&B run again under the same id. Online, steps
    that the server has are not sent again; offline, the trial's folder is written again. Data that
    a killed driver had not sent when a trial ended are not sent later.
    """

    package = "wandb"

    def __init__(self, settings: WandbObserverConfig, run: Path, space: Space, title: str) -> None:
        super().__init__(settings, run, space, title)
        import wandb

        if settings.mode == "online" and not wandb.login(prompt=False):
            raise RuntimeError(
                "no key of Weights & Biases is set; run `wandb login`, or set `mode: offline`"
            )
        self._runs: dict[str, Any] = {}
        self._record: RunState | None = None

    def trial(self, trial: TrialRecord) -> None:
        if trial.trial not in self._runs:
            self._runs[trial.trial] = self._open(trial)

    def report(self, trial: TrialRecord, report: Mapping[str, Any]) -> None:
        self._runs[trial.trial].log(figures(report), step=report["report"])

    def ended(self, trial: TrialRecord, status: SearchStatus) -> None:
        self._close(trial, self._runs.pop(trial.trial))

    def tested(self, trial: TrialRecord) -> None:
        if self._record is None:
            # Tests come last, so this record has all reports of the trials tested here.
            self._record = RunDirectory(self.run).state()
        whole = replace(self._record.trials[trial.trial], test=trial.test)
        self._close(whole, self._open(whole))

    def finished(self, status: SearchStatus, front: Sequence[str]) -> None:
        for run in self._runs.values():
            run.finish(exit_code=1)

    def _open(self, trial: TrialRecord) -> Any:
        import wandb

        name = re.sub(r"[^\w.-]", "-", f"{self.title}-{trial.trial}")
        if self.settings.mode == "offline":
            for folder in (self.run / "wandb").glob(f"offline-run-*-{name}"):
                shutil.rmtree(folder)
        run = wandb.init(
            project=self.settings.project or self.space.config.name,
            entity=self.settings.entity,
            group=self.title,
            job_type=trial.kind,
            name=trial.trial,
            id=name,
            resume=None if self.settings.mode == "offline" else "allow",
            reinit="create_new",  # trials run concurrently in this process
            mode=self.settings.mode,
            dir=str(self.run),
            config=parameters(trial),
            settings=wandb.Settings(
                silent=True,
                console="off",
                disable_git=True,
                disable_code=True,
                x_disable_stats=True,
            ),
        )
        for number in sorted(trial.reports):
            if number >= run.step:
                run.log(figures(trial.reports[number]), step=number)
        return run

    def _close(self, trial: TrialRecord, run: Any) -> None:
        run.summary["state"] = trial.state
        if trial.state == "done":
            result = {
                f"selected/{o.metric}": trial.result[o.metric] for o in self.space.config.objectives
            }
            run.summary.update({**result, **figures(trial.test)})
        elif trial.reason:
            run.summary["reason"] = trial.reason
        run.finish(exit_code=1 if trial.state == "failed" else 0)
