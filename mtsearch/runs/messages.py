"""The typed messages between the process that trains a trial and the driver of its run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class StepResult:
    """The result of one step of a job: new reports of a trial, or the metrics of a test.

    Args:
        reports: the reports that the step made, each a mapping of metrics. A restored trial
            repeats all reports made so far; the driver drops those that it knows.
        done: whether the job has ended.
        failed: why the trial or its test failed; None if it did not.
        selected: number of the selected report, set by the last step of a trial.
        points: where a trial yields several networks, the `preference` and the `metrics` of each,
            with `selected`.
        halt: why the whole run has to stop; None if it can go on.
        note: a remark for the user; None if there is none.
        store_error: why the last checkpoint is not in the object store yet; None if it is.
        gpu_memory: largest number of bytes of GPU memory that the process has held; None without a
            GPU.
        starts: how often a worker group has started the job, from 1; 0 if it never did.
        test: metrics on the test split, of a job that tests.
        predictions: of a job that tests, tables of counts and examples, see
            `mtsearch.jobs.predictions`; None where there are none.
        log: of a job that failed, the last lines of the traceback.
        measured: metrics of the final network of a trial that are measured on a clock; None where
            no such metric is an objective, or they are those of the reports.
    """

    reports: tuple[dict[str, Any], ...] = ()
    done: bool = False
    failed: str | None = None
    selected: int | None = None
    points: tuple[dict[str, Any], ...] = ()
    halt: str | None = None
    note: str | None = None
    store_error: str | None = None
    gpu_memory: int | None = None
    starts: int = 1
    test: dict[str, Any] | None = None
    measured: dict[str, float] | None = None
    predictions: dict[str, Any] | None = None
    log: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The message as a mapping, the form of a Ray Tune result."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any]) -> StepResult:
        """The message in a mapping, whose other keys (Ray Tune adds some) are ignored."""
        found = {field.name: tree[field.name] for field in fields(cls) if field.name in tree}
        lists = {name: tuple(found.get(name, ())) for name in ("reports", "points")}
        return cls(**{**found, **lists})
