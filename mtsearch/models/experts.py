"""Mixtures of experts: every task reads a weighted sum of the features of several trunks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.models.base import Backbone, MultiTaskModel
from mtsearch.models.gates import DSelectGate, SoftmaxGate
from mtsearch.models.heads import build_head, need_of
from mtsearch.models.restoring import apply_head
from mtsearch.models.trunk_model import needs_of

Shape = tuple[int, int, int]


class ExpertModel(MultiTaskModel):
    """Shared experts, optional experts of single tasks, and a gate and a head for each task:

        y_k = h_k(sum_j g_kj(x) f_j(x))

    over the shared experts f_j and those of task k. Experts are trunks of the backbone. The shared
    features are those of all shared experts. Gates belong to their tasks.

    Args:
        backbone: builds the experts.
        tasks: the task cards.
        experts: the number of shared experts.
        own: the number of further experts of each task.
        gate: (shape of the images, number of experts) -> the gate of a task: images ->
            (B or 1, experts).
    """

    def __init__(
        self,
        backbone: Backbone,
        tasks: Sequence[TaskCard],
        experts: int,
        own: int,
        gate: Callable[[Shape, int], nn.Module],
    ) -> None:
        super().__init__(tasks)
        self.needs = needs_of(tasks)
        self.experts = nn.ModuleList(backbone.trunk(self.needs) for _ in range(experts))
        self.own = nn.ModuleDict(
            {
                task.name: nn.ModuleList(backbone.trunk([need_of(task)]) for _ in range(own))
                for task in tasks
            }
        )
        self.gates = nn.ModuleDict(
            {task.name: gate(backbone.shape, experts + own) for task in tasks}
        )
        self.heads = nn.ModuleDict({task.name: build_head(task, backbone) for task in tasks})
        self.slot = {task.name: self.needs.index(need_of(task)) for task in tasks}
        prefixes = [f"experts.{j}" for j in range(experts)]
        prefixes += [f"own.{task.name}.{j}" for task in tasks for j in range(own)]
        self.prunable = tuple(
            row
            for prefix in prefixes
            for row in self.get_submodule(prefix).rows(prefix)  # type: ignore[operator]
        )

    def share(self, x: Tensor, tasks: Sequence[str] | None = None) -> list[Tensor]:
        return [feature for expert in self.experts for feature in expert(x)]

    def decode(
        self, x: Tensor, shared: list[Tensor], tasks: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        return {
            name: apply_head(self.heads[name], self._mixed(name, x, shared), x)
            for name in self.chosen(tasks)
        }

    def _mixed(self, name: str, x: Tensor, shared: list[Tensor]) -> Tensor:
        """Return the input of the head of a task."""
        features = shared[self.slot[name] :: len(self.needs)]
        features += [expert(x)[0] for expert in self.own[name]]  # type: ignore[attr-defined]
        return weighted_sum(features, self.gates[name](x))

    def shared_parameters(self) -> list[nn.Parameter]:
        return list(self.experts.parameters())

    def task_parameters(self, name: str) -> list[nn.Parameter]:
        parts = (self.own[name], self.gates[name], self.heads[name])
        return [p for part in parts for p in part.parameters()]


def weighted_sum(features: Sequence[Tensor], weights: Tensor) -> Tensor:
    """sum_j w_j f_j of n features (B, ...) with weights (B or 1, n)."""
    first, *rest = [
        feature * weights[:, j].reshape(-1, *[1] * (feature.dim() - 1))
        for j, feature in enumerate(features)
    ]
    for term in rest:
        first = first + term
    return first


class MMoE(ExpertModel):
    """Multi-gate mixture of experts (Ma et al. 2018, KDD, doi 10.1145/3219819.3220007): `experts`
    shared experts, and a softmax gate on the averaged image for each task."""

    def __init__(
        self, settings: schema.MMoEConfig, backbone: Backbone, tasks: Sequence[TaskCard]
    ) -> None:
        super().__init__(backbone, tasks, settings.experts, 0, SoftmaxGate)


class CGC(ExpertModel):
    """Customized gate control: `experts` shared experts and `own` experts of each task, with a
    softmax gate for each task over the shared experts and its own. This is progressive layered
    extraction with one level of extraction (Tang et al. 2020, RecSys, doi 10.1145/3383313.3412236);
    `mtsearch.models.ple` has several.
    """

    def __init__(
        self, settings: schema.CGCConfig, backbone: Backbone, tasks: Sequence[TaskCard]
    ) -> None:
        super().__init__(backbone, tasks, settings.experts, settings.own, SoftmaxGate)


class DSelectK(ExpertModel):
    """As MMoE, with gates that learn to choose at most `chosen` experts for each task (Hazimeh et
    al. 2021, NeurIPS, arXiv 2106.03760; see `DSelectGate`). The entropy of the selectors, times
    `entropy`, is added to the loss of their task."""

    def __init__(
        self, settings: schema.DSelectKConfig, backbone: Backbone, tasks: Sequence[TaskCard]
    ) -> None:
        def gate(shape: Shape, experts: int) -> nn.Module:
            return DSelectGate(
                shape, experts, settings.chosen, settings.gamma, settings.per_example
            )

        super().__init__(backbone, tasks, settings.experts, 0, gate)
        self.entropy = settings.entropy

    def extra_losses(
        self, x: Tensor, shared: list[Tensor], tasks: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        if self.entropy == 0:
            return {}
        return {
            name: self.entropy * self.gates[name].entropy(x)  # type: ignore[operator]
            for name in self.chosen(tasks)
        }
