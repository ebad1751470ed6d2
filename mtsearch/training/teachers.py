"""Teachers: single-task networks whose features are distilled into the network of a trial."""

from __future__ import annotations

from typing import NamedTuple

from mtsearch.config.schema import Epochs, LinearConfig, NoSparsityConfig, STLConfig, TrialConfig
from mtsearch.training.protocol import TrialProtocol

_TEACHER_PART = {"trunk": "trunks"}  # names of the student's parts in the teachers


def teacher_config(config: TrialConfig) -> TrialConfig | None:
    """Return the configuration of a trial's teachers: dense single-task networks with the same
    backbone, seed, data, schedule and optimiser, without a preference, trained for
    `trial.architecture.teacher_epochs`. None if the architecture has no teachers.
    """
    epochs = getattr(config.architecture, "teacher_epochs", 0)
    if not epochs:
        return None
    return config.model_copy(
        update={
            "architecture": STLConfig(),
            "balancing": LinearConfig(),
            "preference": None,
            "sparsity": NoSparsityConfig(),
            "epochs": Epochs(search=0, retrain=epochs),
            "lr_multipliers": {
                _TEACHER_PART.get(part, part): value
                for part, value in config.lr_multipliers.items()
                if part != "adaptors"  # teachers have none
            },
            "ema": None,
            "select": "best",
        }
    )


class TeacherStep(NamedTuple):
    """The progress of the teachers after one of their reports.

    Attributes:
        epoch: epochs so far.
        lr: learning rate of the last step.
        steps: optimiser steps so far.
        examples: training images so far.
        metrics: ``teacher/<task>/<metric>`` of their selected networks on the validation split.
    """

    epoch: int
    lr: float
    steps: int
    examples: int
    metrics: dict[str, float]


def teacher_step(teachers: TrialProtocol) -> TeacherStep:
    """Train the teachers up to their next report. The student does not change."""
    report = next(teachers)
    metrics = {
        f"teacher/{key.removeprefix('val/')}": value
        for key, value in teachers.selected.items()
        if key.startswith("val/")
    }
    return TeacherStep(
        report["epoch"], report["lr"], report["cost/steps"], report["cost/examples"], metrics
    )
