"""Single-task networks that are trained before a student which learns from them."""

from __future__ import annotations

from typing import Any

from mtsearch.config.schema import Epochs, LinearConfig, NoSparsityConfig, STLConfig, TrialConfig

_OWN = {
    "trunk": "trunks"
}  # what single-task networks call a part of the student; they have no adaptors


def lessons(config: TrialConfig) -> TrialConfig | None:
    """How a trial's teachers are trained: as single-task networks of the same backbone, seed, data,
    schedule and optimiser, dense and without preference, for `trial.architecture.teacher_epochs`.
    None where the architecture has no such setting.
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
                _OWN.get(part, part): value
                for part, value in config.lr_multipliers.items()
                if part != "adaptors"
            },
            "ema": None,
            "select": "best",
        }
    )


def lesson(teachers: Any) -> tuple[int, float, int, int, dict[str, float]]:
    """Train the teachers up to their next report, the student staying as it is.

    Returns:
        Their epoch, learning rate, steps and examples so far, and ``teacher/<task>/<metric>``: what
        the chosen ones reach on the validation split.
    """
    report = next(teachers)
    figures = {
        f"teacher/{key.removeprefix('val/')}": value
        for key, value in teachers.selected.items()
        if key.startswith("val/")
    }
    return report["epoch"], report["lr"], report["cost/steps"], report["cost/examples"], figures
