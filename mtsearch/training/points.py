"""Points: the networks of a training that yields several."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtsearch.config.checkpoint_owner import CheckpointOwner
from mtsearch.config.schema import TrialConfig
from mtsearch.models import MultiTaskModel
from mtsearch.training.phases import plan
from mtsearch.training.state import save_state
from mtsearch.training.trial import Trial


@dataclass(frozen=True)
class Point:
    """One network of several.

    Attributes:
        settings: what distinguishes it: its ``preference``, weight by task, or its ``level`` of
            sparsity.
        metrics: its report, at the cost of the whole trial.
        state: the state of a finished `Trial` without `pareto_set`, whose network is this one.
    """

    settings: dict[str, Any]
    metrics: dict[str, Any]
    state: dict[str, Any]

    @property
    def reports(self) -> list[dict[str, Any]]:
        """The report, as a trial has them."""
        return [self.metrics]

    def save(self, folder: Path, owner: CheckpointOwner | None = None) -> None:
        """Write the state to a folder, from which `Trial.restore` reads it."""
        save_state(folder, self.state, owner)


class PointsTrial(Trial):
    """A trial that yields several plain networks."""

    @abstractmethod
    def points(self) -> Iterator[Point]:
        """The points of the trial, in a fixed order. All ranks call this."""

    @abstractmethod
    def point_model(self, index: int) -> MultiTaskModel:
        """The network of a point by its index, in eval mode. Raises IndexError."""

    def _costs(self) -> dict[str, Any]:
        """What the whole trial has cost."""
        return {key: v for key, v in self.reports[-1].items() if key.startswith("cost/")}

    def _point_state(
        self, plain: TrialConfig, metrics: dict[str, Any], weights: dict[str, Any]
    ) -> dict[str, Any]:
        """The state of a finished trial of the configuration `plain` whose only report is `metrics`
        and whose network has the state dict `weights`."""
        phases = plan(plain)
        return {
            **Trial.state_dict(self),
            "config": plain.model_dump(mode="json"),
            "reports": [{**metrics, "report": 1}],
            "best": {"report": 1, "score": [0.0, 0.0], "model": weights},
            "phase": len(phases) - 1,
            "epoch": phases[-1].epochs,
            "live": None,
        }
