"""Selection of the report and the weights that represent a trial, and of the best ones of each
task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput, nearest
from mtsearch.config.schema import CoefficientSparsityConfig, TrialConfig
from mtsearch.training.aggregates import ErrorUnits
from mtsearch.training.state import to_device


def check_selection(config: TrialConfig, tasks: Sequence[TaskCard]) -> None:
    """Raise BadInput if `trial.select` is neither a rule nor a task."""
    known = ("best", "last", *(task.name for task in tasks))
    if config.select not in known:
        raise BadInput(
            f"`trial.select` should be best, last or a task. Found `{config.select}`."
            f" {nearest(config.select, known)}"
        )


class Selection:
    """The weights of the best report of a phase by `score`; with ``keep: tasks`` also those of the
    report with the lowest error of each task, independently of the others.

    Args:
        config: of the trial.
        tasks: of the network.
        units: by which the errors of different tasks are compared.
    """

    def __init__(self, config: TrialConfig, tasks: Sequence[TaskCard], units: ErrorUnits) -> None:
        self._config, self._tasks, self._units = config, tasks, units
        # {"report", "score", "model"} by task; key None for the report that represents the trial
        self._kept: dict[str | None, dict[str, Any]] = {}

    def clear(self) -> None:
        """Discard everything, before the reports of another phase."""
        self._kept = {}

    def __bool__(self) -> bool:
        return bool(self._kept)

    def consider(self, phase: str, report: Mapping[str, Any], weights: nn.Module) -> None:
        """Keep the weights of a report if it is the best so far, overall or for a task."""
        better = self._scores(phase, report)
        better = {
            of: value
            for of, value in better.items()
            if of not in self._kept or value < tuple(self._kept[of]["score"])
        }
        if better:
            model = {key: value.detach().clone() for key, value in weights.state_dict().items()}
            self._kept |= {
                of: {"report": report["report"], "score": list(value), "model": model}
                for of, value in better.items()
            }

    def _scores(
        self, phase: str, report: Mapping[str, Any]
    ) -> dict[str | None, tuple[float, float]]:
        """The scores of a report, overall and by task; the smallest is the best."""
        row = score(self._config, phase, report, self._tasks, self._units)
        if self._config.keep != "tasks":
            return {None: row}
        # The best weights of a task must be as sparse as the selected ones: a search phase reaches
        # its target at its end, or by the rule of `score` in coefficient mode.
        ends = phase == "search" and not isinstance(
            self._config.sparsity, CoefficientSparsityConfig
        )
        scores: dict[str | None, tuple[float, float]] = {None: row}
        for task in self._tasks:
            scores[task.name] = row if ends else (row[0], report[f"val/{task.name}/error"])
        return scores

    def best(self, of: str | None = None) -> dict[str, Any]:
        """Return ``report`` (its number), ``score`` and ``model`` (a state dict) of the selected
        report, or of the best one of task `of`.

        Raises:
            RuntimeError: there is no report yet.
            BadInput: the weights of `of` are not kept.
        """
        if not self._kept:
            raise RuntimeError(
                "A trial selects one of its reports. Found none. Call `next` on it first."
            )
        if of not in self._kept:
            known = [task.name for task in self._tasks]
            if of in known:
                raise BadInput(
                    f"the trial does not keep the best weights of single tasks such as `{of}`. Set"
                    " `trial.keep=tasks` and train it again."
                )
            raise BadInput(
                f"`of` should be a task whose best weights are kept. Found `{of}`."
                f" {nearest(str(of), known)}"
            )
        return self._kept[of]

    def state_dict(self) -> dict[str, Any]:
        """Return the state as a tree of tensors and plain values. If a report is the best one of
        several tasks, its weights are included once."""
        once: set[int] = set()
        kept = {}
        for of, best in self._kept.items():
            kept[of] = {
                key: value
                for key, value in best.items()
                if key != "model" or best["report"] not in once
            }
            once.add(best["report"])
        return {"best": kept.pop(None, None), "best_of": kept}

    def load_state_dict(
        self, state: Mapping[str, Any], reports: Sequence[Mapping[str, Any]], device: torch.device
    ) -> None:
        """Load a state of `state_dict`; `best_of` may be missing. Scores are computed from the
        trial's reports again, because older versions wrote them in other units."""
        kept = {None: state["best"], **state.get("best_of", {})}
        found = {of: to_device(value, device) for of, value in kept.items() if value is not None}
        models = {best["report"]: best["model"] for best in found.values() if "model" in best}
        self._kept = {}
        for of, best in found.items():
            report = reports[best["report"] - 1]
            scores = self._scores(report["phase"], report)
            self._kept[of] = {
                "report": best["report"],
                "score": list(scores[of]),
                "model": models[best["report"]],
            }


def score(
    config: TrialConfig,
    phase: str,
    report: Mapping[str, Any],
    tasks: Sequence[TaskCard],
    units: ErrorUnits,
) -> tuple[float, float]:
    """Return the score of a report, of which the smallest is the best; the earliest report wins
    ties. It is the mean relative validation error of all tasks, or of the task `trial.select`.

    Each error is divided by that of the constant predictor, so that the units of the tasks do not
    matter. In a search phase with a target the last report is the best, because it meets the
    target. In coefficient mode reports that reach `min_rate` are better than all others.
    """
    chosen = [task.name for task in tasks if config.select in ("best", task.name)]
    mean = units.mean(report, chosen or [task.name for task in tasks])
    latest = -float(report["report"])
    if phase == "search":
        if isinstance(config.sparsity, CoefficientSparsityConfig):
            return int(report["model/sparsity_rate"] < config.sparsity.min_rate), mean
        return 0, latest
    return (0, latest) if config.select == "last" else (0, mean)
