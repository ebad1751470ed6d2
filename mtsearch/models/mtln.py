"""MTLN: task branches with attention over the feature maps of a shared trunk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor, nn

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.models.base import Backbone
from mtsearch.models.heads import build_head, need_of
from mtsearch.models.norm import norm_parameters, renormalise_, set_norm_task
from mtsearch.models.restoring import apply_head
from mtsearch.models.trunk_model import TrunkModel


def attention(inputs: int, hidden: int, outputs: int, bias: bool) -> nn.Sequential:
    """A module for masks in (0, 1): 1x1 convolution, BN, ReLU, 1x1 convolution, BN, sigmoid;
    (B, inputs, h, w) -> (B, outputs, h, w)."""
    return nn.Sequential(
        nn.Conv2d(inputs, hidden, 1, bias=bias),
        nn.BatchNorm2d(hidden),
        nn.ReLU(),
        nn.Conv2d(hidden, outputs, 1, bias=bias),
        nn.BatchNorm2d(outputs),
        nn.Sigmoid(),
    )


def extractor(inputs: int, outputs: int, convs: int, bias: bool, pool: int) -> nn.Sequential:
    """`convs` times 3x3 convolution, BN and ReLU, and a max-pool of size `pool` if that is above
    1."""
    layers: list[nn.Module] = []
    for i in range(convs):
        layers += [
            nn.Conv2d(inputs if i == 0 else outputs, outputs, 3, padding=1, bias=bias),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, *([nn.MaxPool2d(pool)] if pool > 1 else []))


class MTLN(TrunkModel):
    """A trunk with maps G_0 .. G_n. Each task t has masks a_j over them, computed by its own
    modules A[t, j]:

        a_j = A[t, j](G_j ++ P_(j-1)),    P_j = pool(E[j](a_j * G_j)),

    where ++ concatenates channels and a_0 is computed from G_0 only. The head of task t reads P_n,
    averaged over pixels if it needs a vector. All tasks use the same extractors E, unless
    `extractors: per_task`; `norm` applies to the trunk and to shared extractors.

    The shared features are the maps that are read. P_(j-1) contributes to the output only through
    a_j, so that blocks more than one below the first attended block are neither read nor built: of
    the 2^(n+1) ways to switch attention on or off per block, n+2 give different networks. (Zheng,
    Gong, Li & Lu 2022, IEEE TGRS 60, after MTAN: Liu, Johns & Davison 2019, CVPR.)

    Raises:
        BadInput: the backbone has no stages, or stages whose sizes are not whole multiples;
            `attention` exceeds the number of stages; head settings do not suit the tasks.
    """

    def __init__(
        self, settings: schema.MTLNConfig, backbone: Backbone, tasks: Sequence[TaskCard]
    ) -> None:
        stages = backbone.stages
        if not stages:
            raise BadInput(
                "`trial.architecture: mtln` needs feature maps of several stages, but this backbone"
                " defines none. Use the backbone `wrn`."
            )
        for before, after in pairwise(stages):
            if (
                before[1] % after[1]
                or before[2] % after[2]
                or before[1] // after[1] != before[2] // after[2]
            ):
                raise BadInput(
                    "`trial.architecture: mtln` pools feature maps by whole factors. Found stages"
                    f" of {before[1]} x {before[2]} and {after[1]} x {after[2]} in this backbone."
                    " Use the backbone `wrn`."
                )
        if settings.attention > len(stages):
            raise BadInput(
                "`trial.architecture.attention` should be at most the number of blocks,"
                f" {len(stages)} for this backbone. Found {settings.attention}."
            )
        outputs = [
            max(1, round(settings.width * channels)) for channels, *_ in (*stages[1:], stages[-1])
        ]
        branch = replace(backbone, width=outputs[-1], map_shape=(outputs[-1], *stages[-1][1:]))
        super().__init__(branch, tasks, settings.norm, ("stages",))
        self.form = settings.form
        self.stages = len(stages)
        self.attended = len(stages) - settings.attention  # the first block with a mask
        self.begin = max(self.attended - 1, 0)  # the first block that is read

        def masks() -> nn.ModuleList:
            made = nn.ModuleList()
            for j in range(self.attended, len(stages)):
                channels = stages[j][0]
                read = channels + (outputs[j - 1] if j > 0 else 0)
                made.append(
                    attention(
                        read, max(1, round(settings.ratio * channels)), channels, settings.bias
                    )
                )
            return made

        def extractors() -> nn.ModuleList:
            made = nn.ModuleList()
            for j in range(self.begin, len(stages)):
                pool = stages[j][1] // stages[min(j + 1, len(stages) - 1)][1]
                made.append(
                    extractor(stages[j][0], outputs[j], settings.convs, settings.bias, pool)
                )
            return made

        self.attention = nn.ModuleDict({task.name: masks() for task in tasks})
        self.own = settings.extractors == "per_task"
        self.extractors: nn.ModuleDict | nn.ModuleList = (
            nn.ModuleDict({task.name: extractors() for task in tasks}) if self.own else extractors()
        )
        if not self.own:
            renormalise_(self.extractors, settings.norm, [task.name for task in tasks])
        self.heads, self.shared_head = _heads(settings, branch, tasks)
        self.prunable += tuple(
            name
            for name, m in self.named_modules()
            if type(m) is nn.Conv2d and name.startswith(("attention.", "extractors."))
        )

    def share(self, x: Tensor, tasks: Sequence[str] | None = None) -> list[Tensor]:
        return [g for i, g in enumerate(super().share(x, tasks)) if i % self.stages >= self.begin]

    def read(self, name: str, x: Tensor, features: list[Tensor]) -> Tensor:
        """Return P_n (B, C, h, w) of a task."""
        masks: nn.ModuleList = self.attention[name]  # type: ignore[assignment]
        extractors = self._extractors(name)
        set_norm_task(extractors, name)
        before: Tensor | None = None
        for j, (g, e) in enumerate(zip(features, extractors, strict=True), start=self.begin):
            if j >= self.attended:
                mask = masks[j - self.attended](g if before is None else torch.cat([g, before], 1))
                g = g * mask if self.form == "gate" else g + g * mask
            before = e(g)
        assert before is not None
        return before

    def decode(
        self, x: Tensor, shared: list[Tensor], tasks: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        out = {}
        for name in self.chosen(tasks):
            head = self.heads[name] if self.shared_head is None else self.shared_head
            out[name] = apply_head(
                head, self.read(name, x, self.features_of(name, shared, tasks)), x
            )
        return out

    def _extractors(self, name: str) -> nn.ModuleList:
        if isinstance(self.extractors, nn.ModuleDict):
            return self.extractors[name]  # type: ignore[return-value]
        return self.extractors

    def sole_trunks(self) -> list[nn.Module]:
        return [self.trunk]

    def shared_parameters(self) -> list[nn.Parameter]:
        own = {id(p) for task in self.tasks for p in self.task_parameters(task.name)}
        return [p for p in self.parameters() if id(p) not in own]

    def task_parameters(self, name: str) -> list[nn.Parameter]:
        extractors = (
            list(self._extractors(name).parameters())
            if self.own
            else norm_parameters(self.extractors, name)
        )
        head = list(self.heads[name].parameters()) if self.shared_head is None else []
        return [
            *norm_parameters(self.trunk, name),
            *self.attention[name].parameters(),
            *extractors,
            *head,
        ]


def _heads(
    settings: schema.MTLNConfig, branch: Backbone, tasks: Sequence[TaskCard]
) -> tuple[nn.ModuleDict, nn.Module | None]:
    """Return the heads by task and None, or an empty dict and the head that all tasks share. Heads
    read the last feature map of a branch."""
    if not any(need_of(task) == "vector" for task in tasks) and (
        settings.head_hidden or settings.dropout
    ):
        raise BadInput(
            "`trial.architecture.head_hidden` and `.dropout` apply to heads on feature vectors,"
            " but no task of this dataset has one. Leave them out."
        )
    if settings.head_mode == "per_task":
        return nn.ModuleDict({task.name: _head(settings, branch, task) for task in tasks}), None
    first = tasks[0]
    for task in tasks:
        if (
            task.kind != first.kind
            or task.outputs != first.outputs
            or task.classes != first.classes
            or not task.classes
        ):
            raise BadInput(
                "`trial.architecture.head_mode: shared` needs tasks of one kind with the same named"
                f" classes in the same order. Found `{first.name}` with"
                f" {list(first.classes)} and `{task.name}` with {list(task.classes)}. Use"
                " `per_task`."
            )
    return nn.ModuleDict(), _head(settings, branch, first)


def _head(settings: schema.MTLNConfig, branch: Backbone, task: TaskCard) -> nn.Module:
    if need_of(task) == "map":
        return build_head(task, branch)
    layers: list[nn.Module] = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    if settings.head_hidden:
        layers += [nn.Linear(branch.width, settings.head_hidden), nn.ReLU()]
        branch = replace(branch, width=settings.head_hidden)
    if settings.dropout:
        layers.append(nn.Dropout(settings.dropout))
    return nn.Sequential(*layers, build_head(task, branch))
