"""Progressive layered extraction: experts whose features are mixed several times."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.models.base import Backbone, Branch, MultiTaskModel
from mtsearch.models.experts import CGC, weighted_sum
from mtsearch.models.gates import LARGEST_SIDE, SoftmaxGate
from mtsearch.models.heads import build_head, need_of
from mtsearch.models.restoring import apply_head
from mtsearch.models.trunk_model import needs_of


def cgc(
    settings: schema.CGCConfig, backbone: Backbone, tasks: Sequence[TaskCard]
) -> MultiTaskModel:
    """Build customized gate control with one level or several."""
    network = CGC if settings.levels == 1 else PLE
    return network(settings, backbone, tasks)


class PLE(MultiTaskModel):
    """Progressive layered extraction (Tang et al. 2020, RecSys, doi 10.1145/3383313.3412236) over
    the stages of trunks.

    The stages are divided into L consecutive levels. At level l the experts of task k read s_k and
    the shared experts read s_0, which are the images at the first level. Behind each level but the
    last, with the outputs f_j of the experts,

        s_k <- sum_j g_kj(s_k) f_j    over the experts of task k and the shared experts,
        s_0 <- sum_j g_0j(s_0) f_j    over all experts,

    and behind the last level the head of task k reads the first of these sums. A gate is a softmax
    of a linear function of its input, averaged over blocks for images and over all pixels for maps.

    What the experts, the gates and the heads of a single task compute after the last sum over all
    experts belongs to this task. The shared features are the outputs of all experts before that sum
    and those of the shared experts at the last level. Each task reads others of them, so that
    `separate` is true.

    Raises:
        BadInput: the backbone is not sequential or has fewer stages than levels.
    """

    separate = True

    def __init__(
        self, settings: schema.CGCConfig, backbone: Backbone, tasks: Sequence[TaskCard]
    ) -> None:
        super().__init__(tasks)
        count, levels = len(backbone.stages), settings.levels
        if count < levels:
            raise BadInput(
                "`trial.architecture.levels` should be at most the number of stages of the trunk,"
                f" {count} for this backbone. Found {levels}."
            )
        bounds = [count * level // levels for level in range(levels + 1)]
        self.spans = [range(*pair) for pair in pairwise(bounds)]
        self.needs = needs_of(tasks)
        self.slot = {task.name: self.needs.index(need_of(task)) for task in tasks}
        self.experts = nn.ModuleList(backbone.trunk(self.needs) for _ in range(settings.experts))
        self.own = nn.ModuleDict(
            {
                task.name: nn.ModuleList(
                    backbone.trunk([need_of(task)]) for _ in range(settings.own)
                )
                for task in tasks
            }
        )
        for stage in range(count):
            self._experts()[0].layers(stage)  # raises BadInput if the trunk is not sequential
        near = settings.experts + settings.own
        every = settings.experts + settings.own * len(tasks)
        inputs = [backbone.shape, *(backbone.stages[span[-1]] for span in self.spans[:-1])]
        sides = [LARGEST_SIDE, *[1] * (levels - 1)]
        self.gates = nn.ModuleList(
            nn.ModuleDict({task.name: SoftmaxGate(shape, near, side) for task in tasks})
            for shape, side in zip(inputs, sides, strict=True)
        )
        self.common = nn.ModuleList(
            SoftmaxGate(shape, every, side)
            for shape, side in zip(inputs[:-1], sides[:-1], strict=True)
        )
        self.heads = nn.ModuleDict({task.name: build_head(task, backbone) for task in tasks})
        prefixes = [f"experts.{j}" for j in range(settings.experts)]
        prefixes += [f"own.{task.name}.{j}" for task in tasks for j in range(settings.own)]
        self.prunable = tuple(
            row
            for prefix in prefixes
            for row in self.get_submodule(prefix).rows(prefix)  # type: ignore[operator]
        )

    def _experts(self, name: str | None = None) -> list[Branch]:
        """The experts of a task, or the shared ones."""
        found = self.experts if name is None else self.own[name]
        return list(found)  # type: ignore[arg-type, call-overload]

    def _advance(self, experts: Sequence[Branch], level: int, x: Tensor) -> list[Tensor]:
        """The maps of experts behind a level, whose input is x."""
        found = []
        for expert in experts:
            features = x
            for stage in self.spans[level]:
                features = expert.advance(stage, features)
            found.append(features)
        return found

    def share(self, x: Tensor, tasks: Sequence[str] | None = None) -> list[Tensor]:
        names = self.chosen(None)
        inputs, common = dict.fromkeys(names, x), x
        last = len(self.spans) - 1
        for level in range(last):
            shared = self._advance(self._experts(), level, common)
            own = {name: self._advance(self._experts(name), level, inputs[name]) for name in names}
            every = [*shared, *(f for name in names for f in own[name])]
            # the last gates of the tasks belong to them, see `decode`
            if level < last - 1:
                inputs = {
                    name: weighted_sum([*shared, *own[name]], self._gate(level, name)(inputs[name]))
                    for name in names
                }
            else:
                before = inputs
            common = weighted_sum(every, self.common[level](common))
        final = [
            self._output(expert, need, features)
            for expert, features in zip(
                self._experts(), self._advance(self._experts(), last, common), strict=True
            )
            for need in self.needs
        ]
        states = [] if before[names[0]] is x else [before[name] for name in names]
        return [*every, *states, *final]

    def decode(
        self, x: Tensor, shared: list[Tensor], tasks: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        return {
            name: apply_head(self.heads[name], self._mixed(name, x, shared), x)
            for name in self.chosen(tasks)
        }

    def _mixed(self, name: str, x: Tensor, shared: list[Tensor]) -> Tensor:
        """Return the input of the head of a task."""
        names, last = self.chosen(None), len(self.spans) - 1
        count, each = len(self.experts), len(self._experts(name))
        place, every = names.index(name), count + each * len(names)
        start = count + place * each
        features = [*shared[:count], *shared[start : start + each]]
        read = x if last == 1 else shared[every + place]
        s = weighted_sum(features, self._gate(last - 1, name)(read))
        final = shared[-count * len(self.needs) :]
        outputs = final[self.slot[name] :: len(self.needs)]
        own = self._experts(name)
        outputs += [
            self._output(expert, expert.needs[0], features)
            for expert, features in zip(own, self._advance(own, last, s), strict=True)
        ]
        return weighted_sum(outputs, self._gate(last, name)(s))

    def _gate(self, level: int, name: str) -> SoftmaxGate:
        return self.gates[level][name]  # type: ignore[index, return-value]

    def _output(self, expert: Branch, need: str, features: Tensor) -> Tensor:
        """The output of an expert whose last map is given."""
        if need == "vector" and expert.neck is not None:
            return expert.neck(features)  # type: ignore[no-any-return]
        return features

    def shared_parameters(self) -> list[nn.Parameter]:
        own = {id(p) for task in self.tasks for p in self.task_parameters(task.name)}
        return [p for p in self.parameters() if id(p) not in own]

    def task_parameters(self, name: str) -> list[nn.Parameter]:
        last = len(self.spans) - 1
        modules: list[nn.Module] = [
            self._gate(last - 1, name),
            self._gate(last, name),
            self.heads[name],
        ]
        for expert in self._experts(name):
            modules += [layer for stage in self.spans[last] for layer in expert.layers(stage)]
            modules += [] if expert.neck is None else [expert.neck]
        return [p for module in modules for p in module.parameters()]
