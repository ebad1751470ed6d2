"""A trial that trains the networks of all preferences at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from mtsearch.balancing import Balancing, CosinePenalty, build_balancing
from mtsearch.config.pareto_sets import ParetoSetConfig
from mtsearch.config.preferences import check_preference, simplex_grid
from mtsearch.config.registry import implementation_of
from mtsearch.models import MultiTaskModel, model_macs
from mtsearch.sparsity import measures
from mtsearch.training.batch_statistics import measure_statistics_, statistics_batches
from mtsearch.training.checkpointed import check_finite
from mtsearch.training.network_set import NetworkSet
from mtsearch.training.points import Point, PointsTrial
from mtsearch.training.preference_stream import PreferenceStream
from mtsearch.training.randomness import fork_rng
from mtsearch.training.set_steps import TrainedSet
from mtsearch.training.state import to_device

_SEED_STEP = 0x9E3779B1  # between the seeds of the vertices, modulo 2^32


class ParetoSetTrial(PointsTrial):
    """Trains a set of networks, one for every preference, and yields some of them as points.

    A report has the metrics of the network of equal preference, which represents the trial for the
    sampler, the scheduler and `trial.select`; the points are the networks of the selected report.
    The batch statistics of each network that is measured come from the same training images.
    """

    def _new_network(self) -> MultiTaskModel:
        with_seed = [
            self.config.model_copy(update={"seed": (self.config.seed + k * _SEED_STEP) % 2**32})
            for k in range(len(self.tasks))
        ]

        def build(k: int) -> MultiTaskModel:
            with fork_rng(with_seed[k].seed):
                return self._initialised(with_seed[k])

        with fork_rng(self.config.seed):
            weights = self._new_set(build)
        stream = PreferenceStream(self._settings.draw, len(self.tasks), self.config.seed)
        self._pareto_set = TrainedSet(weights, stream, self._balance)
        return weights.network

    def _new_set(self, build: Callable[[int], MultiTaskModel]) -> NetworkSet:
        made: NetworkSet = implementation_of(self._settings)(self._settings, build, len(self.tasks))
        return made

    @property
    def _settings(self) -> ParetoSetConfig:
        assert isinstance(self.config.pareto_set, ParetoSetConfig)
        return self.config.pareto_set

    def _balance(self, preference: Sequence[float]) -> Balancing:
        weights = torch.tensor(preference, dtype=torch.float32, device=self.device)
        method = build_balancing(self.config.balancing, weights)
        strength = getattr(self._settings, "cosine", 0.0)
        return CosinePenalty(method, weights, strength) if strength else method

    # ------------------------------------------------------------ networks

    def _represented(self, weights: nn.Module) -> MultiTaskModel:
        assert isinstance(weights, NetworkSet)
        return self._network(weights, [1 / len(self.tasks)] * len(self.tasks))

    def _network(self, weights: NetworkSet, preference: Sequence[float]) -> MultiTaskModel:
        """Return the plain network of a preference with its batch statistics."""
        model = self._uninitialised_model()
        model.load_state_dict(weights.state_at(preference))
        settings, config = self._settings, self.config
        parts = statistics_batches(
            self.dataset, self.tasks, self.device, config.batch, settings.statistics, config.seed
        )
        measure_statistics_(model, parts, self.device, self._autocast)
        return model

    def _selected_weights(self) -> NetworkSet:
        with fork_rng():
            weights = self._new_set(lambda _: self._uninitialised_model())
        weights.load_state_dict(to_device(self._selection.best()["model"], self.device))
        return weights

    def selected_model(
        self, of: str | None = None, preference: Mapping[str, float] | None = None
    ) -> MultiTaskModel:
        """Return the plain network of a preference, in eval mode, from the selected report.

        Args:
            of: None; a set keeps no weights of single tasks.
            preference: weight by task, on the simplex; None for equal weights.

        Raises:
            RuntimeError: there is no report yet.
            BadInput: `of` is not None, or `preference` names other tasks.
        """
        self._selection.best(of)
        names = [task.name for task in self.tasks]
        check_preference("preference", preference, names, self.dataset.card.name)
        weights = preference or dict.fromkeys(names, 1 / len(names))
        return self._network(self._selected_weights(), [weights[name] for name in names])

    # ------------------------------------------------------------ points

    def measure(self, preference: Mapping[str, float]) -> dict[str, Any]:
        """The report of the network of a preference (weight by task) on the validation split, at
        the cost of the whole trial."""
        network = self.selected_model(preference=preference)
        return self._metrics(network)

    def point_model(self, index: int) -> MultiTaskModel:
        values = simplex_grid(len(self.tasks), self._settings.points)[index]
        return self._network(self._selected_weights(), values)

    def points(self) -> Iterator[Point]:
        """The points of the selected report, in the order of `simplex_grid`. All ranks call this.

        Raises:
            Diverged: a metric of a point is not finite.
        """
        weights, names = self._selected_weights(), [task.name for task in self.tasks]
        for values in simplex_grid(len(names), self._settings.points):
            yield self._point(weights, dict(zip(names, values, strict=True)))

    def _point(self, weights: NetworkSet, preference: dict[str, float]) -> Point:
        network = self._network(weights, list(preference.values()))
        metrics = self._metrics(network)
        check_finite(metrics, f"at preference {preference}")
        plain = self.config.model_copy(update={"preference": preference, "pareto_set": None})
        state = self._point_state(plain, metrics, network.state_dict())
        return Point({"preference": preference}, metrics, state)

    def _metrics(self, network: MultiTaskModel) -> dict[str, Any]:
        found = self._evaluated(network, self._val)
        found |= self._units.aggregates(found)
        return {
            **self.selected,
            **{f"val/{key}": value for key, value in found.items()},
            **measures(network),
            "model/macs": model_macs(network, self.dataset.card.shape, skip_zero_rows=True),
            **self._costs(),
        }

    # ------------------------------------------------------------ state

    def _live_state(self) -> dict[str, Any]:
        assert self._pareto_set is not None
        trained = self._pareto_set.weights.trained.state_dict()
        return {**super()._live_state(), "trained": trained}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        if state["live"] is not None:
            assert self._pareto_set is not None
            trained = to_device(state["live"]["trained"], self.device)
            self._pareto_set.weights.trained.load_state_dict(trained)

    def close(self) -> None:
        super().close()
        self._pareto_set = None
