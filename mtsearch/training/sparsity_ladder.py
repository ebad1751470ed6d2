"""A trial that trains a dense network, then one level of sparsity after another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mtsearch.config.pareto_sets import SparsityLadderConfig
from mtsearch.models import MultiTaskModel
from mtsearch.training.points import Point, PointsTrial
from mtsearch.training.state import to_device


class SparsityLadderTrial(PointsTrial):
    """Trains the dense network in `trial.epochs`. Each level begins with the selected weights of
    the one before, sets the rows with the smallest norms of each eligible layer to zero, and trains
    the others for `pareto_set.epochs` with a new optimiser and learning-rate schedule (iterative
    magnitude pruning: Han, Pool, Tran & Dally 2015, section 3).

    The points are the selected networks of the dense phase and of each level. A report has the
    metrics of the network that is trained; the selected report is that of the last level.
    """

    _average_all = True

    def __init__(self, *arguments: Any, **others: Any) -> None:
        # `report` and `model` of the selected reports of the phases that ended
        self._ended: list[dict[str, Any]] = []
        super().__init__(*arguments, **others)

    @property
    def _levels(self) -> list[float]:
        assert isinstance(self.config.pareto_set, SparsityLadderConfig)
        return [0.0, *self.config.pareto_set.levels]

    def _next_phase(self) -> None:
        best = self._selection.best()
        self._ended.append({"report": best["report"], "model": best["model"]})
        self.model.load_state_dict(best["model"])
        super()._next_phase()

    # ------------------------------------------------------------ points

    def _chosen(self) -> list[dict[str, Any]]:
        """The selected reports and weights of the phases that ended."""
        last = [self._selection.best()] if self.finished else []
        return [*self._ended, *last]

    def point_model(self, index: int) -> MultiTaskModel:
        model = self._uninitialised_model()
        model.load_state_dict(self._chosen()[index]["model"])
        return model.eval()

    def points(self) -> Iterator[Point]:
        plain = self.config.model_copy(update={"pareto_set": None})
        for level, best in zip(self._levels, self._chosen(), strict=True):
            metrics = {**self.reports[best["report"] - 1], **self._costs()}
            weights = to_device(best["model"], self.device)
            yield Point({"level": level}, metrics, self._point_state(plain, metrics, weights))

    # ------------------------------------------------------------ state

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "ended": self._ended}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._ended = [to_device(dict(best), self.device) for best in state["ended"]]
        super().load_state_dict(dict(state))
