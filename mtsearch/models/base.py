"""What every architecture is made of and how every multi-task network is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput

Need = Literal["vector", "map", "stages"]
"""What is read of a branch: its feature vector (B, width), its last feature map (B, C, h, w), or
the maps after each of its stages.

Heads need one of the first two. `stages`, for architectures that look into the trunk, stands for
several maps, the last feature map last.
"""


class Branch(nn.Module):
    """A network from images to features, used as a shared trunk and as a task's monitor.

    Args:
        body: images (B, C, H, W) -> feature map (B, channels, h, w). It may tell the maps after its
            stages by a method `stages`.
        neck: feature map -> feature vector (B, width).
        needs: what `forward` returns, in this order. A neck nobody needs is dropped, so no
            parameter is idle.
        ends: for a body that is a sequence, after how many of its layers each stage but the last
            ends.
    """

    def __init__(
        self, body: nn.Module, neck: nn.Module, needs: Sequence[Need], ends: Sequence[int] = ()
    ) -> None:
        super().__init__()
        self.body = body
        self.neck = neck if "vector" in needs else None
        self.needs = tuple(needs)
        self.ends = tuple(ends)

    def forward(self, images: Tensor) -> list[Tensor]:
        """The needed features, in the order of `needs`; `stages` fills several places."""
        stages = self._stages(images) if "stages" in self.needs else [self.body(images)]
        out: list[Tensor] = []
        for need in self.needs:
            if need == "stages":
                out += stages
            else:
                out.append(
                    self.neck(stages[-1])
                    if need == "vector" and self.neck is not None
                    else stages[-1]
                )
        return out

    def _stages(self, images: Tensor) -> list[Tensor]:
        """The maps after each stage of the body, which may tell them itself by a method
        `stages`."""
        if hasattr(self.body, "stages"):
            return self.body.stages(images)  # type: ignore[operator, no-any-return]
        stages, features = [], images
        for done, layer in enumerate(self.body.children(), start=1):
            features = layer(features)
            if done in self.ends:
                stages.append(features)
        return [*stages, features]

    def layers(self, stage: int) -> list[nn.Module]:
        """What makes the map after a stage (from 0) of the one before it, or of the images, one
        after the other. A body may tell them itself by a method `layers`.

        Raises:
            BadInput: the body's stages do not follow one another.
        """
        body = getattr(self, "body", None)
        if hasattr(body, "layers"):
            return body.layers(stage)  # type: ignore[union-attr, operator, no-any-return]
        if not isinstance(body, nn.Sequential):
            raise BadInput(
                "this architecture works between the stages of a trunk, which this backbone does"
                " not run one by one. Choose another."
            )
        ends = (0, *self.ends, len(body))
        return list(body.children())[ends[stage] : ends[stage + 1]]

    def parts(self) -> list[list[nn.Module]]:
        """The body's layers in the parts between which it may be cut, the image's first: its
        stages, or finer ones that it tells itself by a method `parts`.

        Raises:
            BadInput: the body is no sequence.
        """
        body = getattr(self, "body", None)
        if hasattr(body, "parts"):
            return body.parts()  # type: ignore[union-attr, operator, no-any-return]
        if not isinstance(body, nn.Sequential):
            raise BadInput(
                "this backbone's trunk cannot be cut into a shared part and branches of the tasks."
                " Choose another."
            )
        ends = (0, *self.ends, len(body))
        return [list(body.children())[begin:end] for begin, end in pairwise(ends)]

    def advance(self, stage: int, features: Tensor) -> Tensor:
        """The map after a stage (from 0) of the one before it, or of the images."""
        for layer in self.layers(stage):
            features = layer(features)
        return features

    def rows(self, prefix: str) -> tuple[str, ...]:
        """Names of the layers whose input rows may be zeroed: all ungrouped convolutions and linear
        layers but the one on the image.

        Exact types only: subclasses (such as the projection inside attention) may be evaluated by
        code that reads their weight directly.
        """
        layers = [
            (name, m) for name, m in self.named_modules() if type(m) in (nn.Conv2d, nn.Linear)
        ]
        return tuple(f"{prefix}.{name}" for name, m in layers[1:] if getattr(m, "groups", 1) == 1)


@dataclass(frozen=True)
class Backbone:
    """A family of branches for images of one shape: makes trunks and monitors of equal output
    sizes.

    Attributes:
        trunk: needs -> a new trunk.
        monitor: needs -> a new monitor on the raw image, small beside the trunk, with the trunk's
            output sizes.
        width: length of the feature vector.
        map_shape: (channels, h, w) of the feature map; None where the network has none.
        shape: (channels, height, width) of the images.
        stages: (channels, h, w) of the maps after each stage of a trunk, the last of them
            `map_shape`; empty where it shows none.
        mask: for attention over the trunk, stage number (from 0) -> a new network from that stage's
            map to weights in (0, 1) in the next stage's shape, from the last one in the vector's;
            None for the general one (see `mtsearch.models.attention`).
        heads: builders by task kind that stand for the common heads over this backbone.
    """

    trunk: Callable[[Sequence[Need]], Branch]
    monitor: Callable[[Sequence[Need]], Branch]
    width: int
    map_shape: tuple[int, int, int] | None
    shape: tuple[int, int, int]
    stages: tuple[tuple[int, int, int], ...] = ()
    mask: Callable[[int], nn.Module] | None = None
    heads: Mapping[str, Callable[[TaskCard, Backbone], nn.Module]] = field(default_factory=dict)


class MultiTaskModel(nn.Module):
    """A network with one output per task.

    Subclasses set `prunable` and implement `share`, `decode`, `shared_parameters` and
    `task_parameters`. Outputs are raw: logits (B, classes) for a classification, (B, classes, H, W)
    for a segmentation, values (B, outputs) for a regression, images (B, outputs, H, W) for a
    restoration.

    Attributes:
        tasks: the task cards, in order.
        prunable: names of the modules (ungrouped Conv2d, Linear) whose input rows may be zeroed:
            not heads, not those on the image.
        separate: whether the tasks read different features at the shared boundary, though they
            share what lies before it: their gradients at the boundary have no common coordinates,
            so that only those in the parameters can be balanced.
        uses_labels: whether `predict` reads labels: a baseline that cannot be deployed.
    """

    prunable: tuple[str, ...] = ()
    separate: bool = False
    uses_labels: bool = False

    def __init__(self, tasks: Sequence[TaskCard]) -> None:
        super().__init__()
        self.tasks = tuple(tasks)

    def share(self, x: Tensor, tasks: Sequence[str] | None = None) -> list[Tensor]:
        """The features at the shared boundary.

        Args:
            x: images (B, C, H, W).
            tasks: names of the tasks that read them; None for all. They matter where the shared
                part treats tasks differently, as per-task normalisation does.

        Returns:
            Tensors with B as their first axis: feature vectors (B, width) or maps (B, C', h, w).
            Empty where nothing is shared.
        """
        raise AssertionError(f"{type(self).__name__} should define `share`")

    def decode(
        self, x: Tensor, shared: list[Tensor], tasks: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        """Raw outputs by task name.

        Args:
            x: images (B, C, H, W).
            shared: what `share` returned for these images and tasks, or detached copies of it.
            tasks: names of the tasks to decode; None for all.

        Returns:
            By task name (B, classes), (B, classes, H, W), (B, outputs) or (B, outputs, H, W),
            depending on the kind of the task (see the class).
        """
        raise AssertionError(f"{type(self).__name__} should define `decode`")

    def extra_losses(
        self, x: Tensor, shared: list[Tensor], tasks: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        """Scalars that are added to the tasks' training losses, such as a distillation loss.

        Args:
            x: images (B, C, H, W). With several workers B may be 0: the result is then not used,
                but should depend on the same parameters.
            shared: what `share` returned for these images and tasks.
            tasks: names of the tasks of the step; None for all.

        Returns:
            Means over the images, by task name; none by default.
        """
        return {}

    def auxiliary_outputs(
        self, x: Tensor, shared: list[Tensor], tasks: Sequence[str] | None = None
    ) -> dict[str, list[Tensor]]:
        """Further outputs of tasks for deep supervision: in training, the task's loss of each is
        added to that of its main output.

        Args:
            x: images (B, C, H, W).
            shared: what `share` returned for these images and tasks.
            tasks: names of the tasks of the step; None for all.

        Returns:
            By task name a list of outputs in the shapes of `decode`; none by default.
        """
        return {}

    def shared_parameters(self) -> list[nn.Parameter]:
        """The parameters that more than one task uses."""
        raise AssertionError(f"{type(self).__name__} should define `shared_parameters`")

    def task_parameters(self, name: str) -> list[nn.Parameter]:
        """The parameters that only task `name` uses."""
        raise AssertionError(f"{type(self).__name__} should define `task_parameters`")

    def forward(self, x: Tensor, tasks: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Raw outputs by task name (as `decode`) of images (B, C, H, W), for the named tasks or
        all."""
        return self.decode(x, self.share(x, tasks), tasks)

    def predict(
        self, x: Tensor, labels: Mapping[str, Tensor], tasks: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        """The outputs that an evaluation compares with the labels: `forward`, except in baselines
        that read ground-truth labels (`uses_labels`).

        Args:
            x: images (B, C, H, W).
            labels: the ground truth by task name, first axis B.
            tasks: names of the tasks to evaluate; None for all.
        """
        return self(x, tasks)  # type: ignore[no-any-return]

    def chosen(self, tasks: Sequence[str] | None) -> list[str]:
        """The task names to decode, in the order of the cards."""
        return [task.name for task in self.tasks if tasks is None or task.name in tasks]
