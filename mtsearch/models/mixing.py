"""Feature mixing: one network per task, with linear mixing of their features between stages."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.models.base import Backbone, Branch, MultiTaskModel
from mtsearch.models.branch_inputs import build_input
from mtsearch.models.heads import build_head, need_of
from mtsearch.models.restoring import apply_head

DIAGONAL = 0.8  # initial weight of a branch's own features


def weighted(weights: Tensor, maps: list[Tensor]) -> Tensor:
    """Return ``sum_k weights[k] maps[k]``. The terms are added one by one, because stacking would
    lose the channels-last memory format."""
    out, *rest = [weight * h for weight, h in zip(weights.unbind(), maps, strict=True)]
    for term in rest:
        out = out + term
    return out


class Mixer(nn.Module):
    """h_k <- sum_j W[k, j] h_j over K branches; W is initialised with 0.8 on the diagonal and
    0.2 / (K - 1) elsewhere."""

    def __init__(self, branches: int) -> None:
        super().__init__()
        weight = torch.full((branches, branches), (1 - DIAGONAL) / max(1, branches - 1))
        self.weight = nn.Parameter(weight.fill_diagonal_(DIAGONAL))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """K maps (B, C, h, w) -> K maps of that shape."""
        return [weighted(row, maps) for row in self.weight.unbind()]


class Ensemble(nn.Module):
    """sum_k w_k y_k over the outputs of a task's branches; w is initialised with 1 / K."""

    def __init__(self, branches: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((branches,), 1 / branches))

    def forward(self, outputs: list[Tensor]) -> Tensor:
        """Outputs of one shape -> that shape."""
        return weighted(self.weight, outputs)


class Mixing(MultiTaskModel):
    """`branches` networks per task, all of the same backbone, whose feature maps are mixed after
    every stage except the last.

    One K x K matrix W is used after all stages and for all channels (the feature mixing of
    SISR-KD-Ensemble, extended to several tasks; a cross-stitch network with one matrix: Misra et
    al. 2016, CVPR, arXiv 1604.03539). Each branch has its own last stage and head; a task with
    several branches outputs their weighted sum. With W the identity, or with `transfer: false`, the
    branches are independent networks.

    The branches of a task may have different `inputs`: the image, the resampled image, or the
    output of a frozen network, which a branch for restoration then corrects. With `branch_losses`
    the output of each branch is trained too. This is the ensemble of chapter 6 of Zhang's thesis,
    whose frozen networks are VDSR, DRRN and MS-LapSRN.

    All parameters before the last mixing are shared: every task trains them through W. Each task
    reads different mixed features, so that gradients can be balanced with respect to the
    parameters, but not with respect to the features.

    Raises:
        BadInput: the backbone is not sequential or has fewer than two stages.
    """

    def __init__(
        self, settings: schema.MixingConfig, backbone: Backbone, tasks: Sequence[TaskCard]
    ) -> None:
        super().__init__(tasks)
        if len(backbone.stages) < 2:
            raise BadInput(
                "`trial.architecture: mixing` mixes features between the stages of a trunk and"
                f" needs at least 2. Found {len(backbone.stages)}. Choose another backbone."
            )
        self.branches = settings.branches
        self.owners = [task.name for task in tasks for _ in range(settings.branches)]
        self.trunks = nn.ModuleList(
            backbone.trunk([need_of(task)]) for task in tasks for _ in range(settings.branches)
        )
        self.heads = nn.ModuleList(
            build_head(task, backbone) for task in tasks for _ in range(settings.branches)
        )
        count = len(self.trunks)
        self.mixer = Mixer(count) if settings.transfer and count > 1 else None
        self.ensembles = nn.ModuleDict(
            {task.name: Ensemble(settings.branches) for task in tasks}
            if settings.branches > 1
            else {}
        )
        self.inputs = nn.ModuleList(build_input(each, backbone.shape) for each in settings.inputs)
        self.branch_losses = settings.branch_losses
        self.stages = len(backbone.stages)
        for stage in range(self.stages):
            self._branch(0).layers(stage)  # raises BadInput if the backbone is not sequential
        self.separate = len(tasks) > 1 and self.mixer is not None
        self.prunable = tuple(
            row for k in range(count) for row in self._branch(k).rows(f"trunks.{k}")
        )

    def share(self, x: Tensor, tasks: Sequence[str] | None = None) -> list[Tensor]:
        if self.mixer is None:
            return []
        maps = self._branch_inputs(x) * len(self.tasks)
        for stage in range(self.stages - 1):
            maps = self.mixer([self._branch(k).advance(stage, h) for k, h in enumerate(maps)])
        return maps

    def decode(
        self, x: Tensor, shared: list[Tensor], tasks: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        outputs = self._outputs(x, shared, tasks)
        return {
            name: self.ensembles[name](each) if name in self.ensembles else each[0]
            for name, each in outputs.items()
        }

    def auxiliary_outputs(
        self, x: Tensor, shared: list[Tensor], tasks: Sequence[str] | None = None
    ) -> dict[str, list[Tensor]]:
        return self._outputs(x, shared, tasks) if self.branch_losses else {}

    def _outputs(
        self, x: Tensor, shared: list[Tensor], tasks: Sequence[str] | None
    ) -> dict[str, list[Tensor]]:
        """Return the outputs of the branches of the selected tasks, by task name."""
        views, out = self._branch_inputs(x), {}
        for name in self.chosen(tasks):
            seen = zip(self._branches_of(name), views, strict=True)
            out[name] = [
                apply_head(self.heads[k], self._head_features(k, view, shared), view)
                for k, view in seen
            ]
        return out

    def _branch_inputs(self, x: Tensor) -> list[Tensor]:
        """Return the inputs of the branches of a task."""
        return [each(x) for each in self.inputs] if len(self.inputs) else [x] * self.branches

    def _head_features(self, k: int, x: Tensor, shared: list[Tensor]) -> Tensor:
        """Return the input of the head of branch k."""
        branch = self._branch(k)
        if not shared:
            return branch(x)[0]  # type: ignore[no-any-return]
        h = branch.advance(self.stages - 1, shared[k])
        return h if branch.neck is None else branch.neck(h)  # type: ignore[no-any-return]

    def _branch(self, k: int) -> Branch:
        return self.trunks[k]  # type: ignore[return-value]

    def _branches_of(self, name: str) -> list[int]:
        return [k for k, owner in enumerate(self.owners) if owner == name]

    def shared_parameters(self) -> list[nn.Parameter]:
        if not self.separate:
            return []
        own = {id(p) for task in self.tasks for p in self.task_parameters(task.name)}
        return [p for p in self.parameters() if p.requires_grad and id(p) not in own]

    def task_parameters(self, name: str) -> list[nn.Parameter]:
        if not self.separate and self.mixer is not None:
            return [p for p in self.parameters() if p.requires_grad]
        modules: list[nn.Module] = [self.ensembles[name]] if name in self.ensembles else []
        for k in self._branches_of(name):
            branch = self._branch(k)
            last = (
                [branch]
                if self.mixer is None
                else [*branch.layers(self.stages - 1), *([branch.neck] if branch.neck else [])]
            )
            modules += [self.heads[k], *last]
        return [p for module in modules for p in module.parameters()]
