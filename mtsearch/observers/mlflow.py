"""MLflow: one MLflow run per trial, identified by its tags."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mtsearch.config.observers import MLflowObserverConfig
from mtsearch.config.space import Space
from mtsearch.observers.base import Observer, figures, parameters
from mtsearch.runs.state import TrialRecord
from mtsearch.runs.status import SearchStatus

RUN, TRIAL = "mtsearch.run", "mtsearch.trial"  # the tags
LONGEST = 500  # maximum length of a parameter, in characters


class MLflow(Observer):
    """Settings are parameters; every number of a report is a metric whose step is the report
    number; ``selected/<objective>`` and ``test/...`` are the trial's result.

    A report is one batch, which MLflow stores completely or not at all. When a trial continues,
    MLflow is queried for the reports that it has.
    """

    package = "mlflow"

    def __init__(self, settings: MLflowObserverConfig, run: Path, space: Space, title: str) -> None:
        super().__init__(settings, run, space, title)
        from mlflow import MlflowClient

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        own = f"sqlite:///{run.resolve() / 'mlflow.db'}"
        self._client = MlflowClient(settings.uri or os.environ.get("MLFLOW_TRACKING_URI") or own)
        name = settings.experiment or space.config.name
        found = self._client.get_experiment_by_name(name)
        self._experiment = (
            found.experiment_id if found is not None else self._client.create_experiment(name)
        )
        self._ids: dict[str, str] = {}  # MLflow run of each trial that runs or is not tested yet

    def started(self, ended: Sequence[TrialRecord]) -> None:
        if not ended:
            return
        known = self._known()
        for trial in ended:
            run = known.get(trial.trial)
            if run is None or run.info.status not in ("FINISHED", "FAILED"):
                self.trial(trial)
                self.ended(trial, SearchStatus({}, 0, math.nan))
            self._ids.setdefault(trial.trial, run.info.run_id if run is not None else "")
            if trial.test and (
                run is None or not set(figures(trial.test)) <= set(run.data.metrics)
            ):
                self.tested(trial)

    def trial(self, trial: TrialRecord) -> None:
        if trial.trial in self._ids:
            return
        run = self._find(trial.trial)
        if run is None:
            tags = {RUN: self.title, TRIAL: trial.trial, "mtsearch.kind": trial.kind}
            run = self._client.create_run(self._experiment, tags=tags, run_name=trial.trial)
        else:
            self._client.update_run(run.info.run_id, status="RUNNING")
        self._ids[trial.trial] = run.info.run_id
        self._log(trial, {}, 0, parameters(trial))
        sent = {point.step for point in self._client.get_metric_history(run.info.run_id, "report")}
        for number in sorted(set(trial.reports) - sent):
            self.report(trial, trial.reports[number])

    def report(self, trial: TrialRecord, report: Mapping[str, Any]) -> None:
        self._log(trial, {**figures(report), "report": report["report"]}, report["report"])

    def ended(self, trial: TrialRecord, status: SearchStatus) -> None:
        if trial.state == "done":
            result = {
                f"selected/{o.metric}": trial.result[o.metric] for o in self.space.config.objectives
            }
            self._log(trial, result, trial.selected or 0)
        elif trial.reason:
            self._client.set_tag(self._ids[trial.trial], "mtsearch.reason", trial.reason)
        self._client.set_tag(self._ids[trial.trial], "mtsearch.state", trial.state)
        self._client.set_terminated(
            self._ids[trial.trial], "FAILED" if trial.state == "failed" else "FINISHED"
        )

    def tested(self, trial: TrialRecord) -> None:
        self._log(trial, figures(trial.test), trial.selected or 0)

    def finished(self, status: SearchStatus, front: Sequence[str]) -> None:
        for run_id in self._ids.values():
            if self._client.get_run(run_id).info.status == "RUNNING":
                self._client.set_terminated(run_id, "KILLED")  # until it continues

    def _known(self) -> dict[str, Any]:
        """MLflow's runs of this search by trial."""
        found, token = {}, None
        while True:
            page = self._client.search_runs(
                [self._experiment],
                f"tags.`{RUN}` = '{self.title}'",
                max_results=1000,
                page_token=token,
            )
            found.update({run.data.tags[TRIAL]: run for run in page})
            if not (token := page.token):
                return found

    def _find(self, trial: str) -> Any:
        query = f"tags.`{RUN}` = '{self.title}' and tags.`{TRIAL}` = '{trial}'"
        return next(iter(self._client.search_runs([self._experiment], query, max_results=1)), None)

    def _log(
        self,
        trial: TrialRecord,
        metrics: Mapping[str, float],
        step: int,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        from mlflow.entities import Metric, Param

        now = int(1000 * time.time())
        points = [
            Metric(name, value, now, step)
            for name, value in metrics.items()
            if math.isfinite(value)
        ]
        params = [Param(name, str(value)[:LONGEST]) for name, value in (settings or {}).items()]
        self._client.log_batch(self._ids[trial.trial], metrics=points, params=params)
