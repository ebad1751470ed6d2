"""Which report of a trial is its row and its checkpoint, and which are the best of its single
tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput, nearest
from mtsearch.config.schema import CoefficientSparsityConfig, TrialConfig
from mtsearch.training.state import to_device


def check_selection(config: TrialConfig, tasks: Sequence[TaskCard]) -> None:
    """Raises BadInput where `trial.select` names neither a rule nor a task."""
    known = ("best", "last", *(task.name for task in tasks))
    if config.select not in known:
        raise BadInput(
            f"`trial.select` should be best, last or a task. Found `{config.select}`."
            f" {nearest(config.select, known)}"
        )


class Selection:
    """The weights of the best report of a phase, in the order of `score`; with ``keep: tasks``
    those of each task's lowest error, too.

    One task's better report replaces no other task's.
    """

    def __init__(self, config: TrialConfig, tasks: Sequence[TaskCard]) -> None:
        self._config, self._tasks = config, tasks
        self._kept: dict[
            str | None, dict[str, Any]
        ] = {}  # by task, None the row's: {"report", "score", "model"}

    def clear(self) -> None:
        """Forget all, for another phase."""
        self._kept = {}

    def __bool__(self) -> bool:
        return bool(self._kept)

    def consider(self, phase: str, report: Mapping[str, Any], weights: nn.Module) -> None:
        """Keep the weights of a report for whom it is the best so far."""
        row = score(self._config, phase, report, self._tasks)
        better: dict[str | None, tuple[float, float]] = {None: row}
        if self._config.keep == "tasks":
            # A search phase is as sparse as it should be at its end, or where the row's rule says
            # so: no task's best comes before that.
            ends = phase == "search" and not isinstance(
                self._config.sparsity, CoefficientSparsityConfig
            )
            better |= {
                task.name: row if ends else (row[0], report[f"val/{task.name}/error"])
                for task in self._tasks
            }
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

    def best(self, of: str | None = None) -> dict[str, Any]:
        """``report`` (its number), ``score`` and ``model`` (a state dict) of the row, or of one
        task.

        Raises RuntimeError before the first report and BadInput for what is not kept.
        """
        if not self._kept:
            raise RuntimeError(
                "Trial should have made a report before one is selected. Found none."
            )
        if of not in self._kept:
            known = [task.name for task in self._tasks]
            if of in known:
                raise BadInput(
                    f"the trial keeps no best weights of its tasks, such as `{of}`. Set"
                    " `trial.keep=tasks` and train it again."
                )
            raise BadInput(
                f"`of` should be a task whose best weights are kept. Found `{of}`."
                f" {nearest(str(of), known)}"
            )
        return self._kept[of]

    def state_dict(self) -> dict[str, Any]:
        """Everything, as a tree of tensors and plain values; the weights of a report that is the
        best of several stand there once."""
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

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """The inverse of `state_dict`; `best_of` may be missing."""
        kept = {None: state["best"], **state.get("best_of", {})}
        found = {of: to_device(value, device) for of, value in kept.items() if value is not None}
        models = {best["report"]: best["model"] for best in found.values() if "model" in best}
        self._kept = {of: {**best, "model": models[best["report"]]} for of, best in found.items()}


def score(
    config: TrialConfig, phase: str, report: Mapping[str, Any], tasks: Sequence[TaskCard]
) -> tuple[float, float]:
    """How good a report is, smaller being better, ties to the earliest: the mean validation error,
    or that of one task.

    A search phase hands on its last report, where the target is met; in coefficient mode its best
    that is sparse enough.
    """
    chosen = [task for task in tasks if config.select in ("best", task.name)] or list(tasks)
    errors = [report[f"val/{task.name}/error"] for task in chosen]
    mean, latest = sum(errors) / len(errors), -float(report["report"])
    if phase == "search":
        if isinstance(config.sparsity, CoefficientSparsityConfig):
            return int(report["model/sparsity_rate"] < config.sparsity.min_rate), mean
        return 0, latest
    return (0, latest) if config.select == "last" else (0, mean)
