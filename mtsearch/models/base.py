"""Base classes of trunks, backbones and multi-task networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, Self

from torch import Tensor, nn

from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput

Need = Literal["vector", "map", "stages"]
"""An output of a branch: its feature vector (B, width), its last feature map (B, C, h, w), or the
maps after each of its stages.

Heads need one of the first two. `stages` is for architectures that use intermediate feature maps;
it stands for several maps, of which the last one is the last feature map.
"""


class Branch(nn.Module):
    """A network from images to features, used as a shared trunk or as a task's monitor.

    Args:
        body: images (B, C, H, W) -> feature map (B, channels, h, w). It may define a method
            `stages` that returns the maps after its stages.
        neck: feature map -> feature vector (B, width).
        needs: the outputs of `forward`, in this order. A neck that is not needed is dropped, so
            that all parameters are used.
        ends: for a body that is an `nn.Sequential`, the number of layers after which each stage
            except the last one ends.
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
        """Return the features in the order of `needs`; `stages` gives several entries."""
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
        """Return the maps after each stage of the body, by its method `stages` if it has one."""
        if hasattr(self.body, "stages"):
            return self.body.stages(images)  # type: ignore[operator, no-any-return]
        stages, features = [], images
        for done, layer in enumerate(self.body.children(), start=1):
            features = layer(features)
            if done in self.ends:
                stages.append(features)
        return [*stages, features]

    def layers(self, stage: int) -> list[nn.Module]:
        """Return the layers of a stage (from 0) in order. They map the previous stage's feature
        map, or the images, to the stage's feature map. A body may define its own method `layers`.

        Raises:
            BadInput: the body is not sequential.
        """
        body = getattr(self, "body", None)
        if hasattr(body, "layers"):
            return body.layers(stage)  # type: ignore[union-attr, operator, no-any-return]
        if not isinstance(body, nn.Sequential):
            raise BadInput(
                "this architecture needs a backbone whose stages run one after the other. Found"
                " a trunk that is not sequential. Choose another backbone."
            )
        ends = (0, *self.ends, len(body))
        return list(body.children())[ends[stage] : ends[stage + 1]]

    def parts(self) -> list[list[nn.Module]]:
        """Return the layers of the body, grouped into the parts between which it can be split, in
        order: its stages, or the finer parts of its own method `parts`.

        Raises:
            BadInput: the body is not sequential.
        """
        body = getattr(self, "body", None)
        if hasattr(body, "parts"):
            return body.parts()  # type: ignore[union-attr, operator, no-any-return]
        if not isinstance(body, nn.Sequential):
            raise BadInput(
                "the trunk of this backbone cannot be split into a shared part and task branches."
                " Choose another backbone."
            )
        ends = (0, *self.ends, len(body))
        return [list(body.children())[begin:end] for begin, end in pairwise(ends)]

    def advance(self, stage: int, features: Tensor) -> Tensor:
        """Apply a stage (from 0) to the previous stage's feature map, or to the images."""
        for layer in self.layers(stage):
            features = layer(features)
        return features

    def rows(self, prefix: str) -> tuple[str, ...]:
        """Return the names of the layers whose input rows may be zeroed: all ungrouped convolutions
        and linear layers except the first one, which reads the image.

        Subclasses (such as the projection inside attention) are excluded, because other code may
        read their weights directly.
        """
        layers = [
            (name, m) for name, m in self.named_modules() if type(m) in (nn.Conv2d, nn.Linear)
        ]
        return tuple(f"{prefix}.{name}" for name, m in layers[1:] if getattr(m, "groups", 1) == 1)


@dataclass(frozen=True)
class Backbone:
    """Builds trunks and monitors of equal output sizes for images of one shape.

    Attributes:
        trunk: needs -> a new trunk.
        monitor: needs -> a new monitor, a network on the image that is smaller than the trunk and
            has its output sizes.
        width: length of the feature vector.
        map_shape: (channels, h, w) of the feature map; None if the network has none.
        shape: (channels, height, width) of the images.
        stages: (channels, h, w) of the maps after each stage of a trunk, the last of which is
            `map_shape`; empty if the trunk has no stages.
        mask: stage (from 0) -> a new attention block of that stage (see
            `mtsearch.models.attention.masks_of`); None for the default block.
        heads: builders by task kind that replace the default heads for this backbone.
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
        prunable: names of the modules (ungrouped Conv2d, Linear) whose input rows may be zeroed;
            heads and layers that read the image are excluded.
        separate: whether the tasks read different features of the shared part. Their gradients
            with respect to these features have no common coordinates, so that only their gradients
            with respect to the parameters can be balanced.
        uses_labels: whether `predict` reads labels. Such a baseline cannot be deployed.
    """

    prunable: tuple[str, ...] = ()
    separate: bool = False
    uses_labels: bool = False

    def __init__(self, tasks: Sequence[TaskCard]) -> None:
        super().__init__()
        self.tasks = tuple(tasks)

    def train(self, mode: bool = True) -> Self:
        """Set training or evaluation mode; frozen modules (see `mtsearch.models.tuning`) stay in
        evaluation mode."""
        super().train(mode)
        for module in self.modules():
            if getattr(module, "is_frozen", False):
                module.training = False
        return self

    def share(self, x: Tensor, tasks: Sequence[str] | None = None) -> list[Tensor]:
        """Compute the shared features.

        Args:
            x: images (B, C, H, W).
            tasks: names of the tasks that read the features; None for all. They have an effect if
                the shared part depends on the task, as with per-task normalisation.

        Returns:
            Tensors with B as their first axis: feature vectors (B, width) or maps (B, C', h, w).
            Empty if nothing is shared.
        """
        raise AssertionError(f"{type(self).__name__} should define `share`")

    def sole_trunks(self) -> list[nn.Module]:
        """Return the trunks of a network of which no other part reads the images; empty for other
        networks. While these trunks are frozen, `trunk_features` may be computed once."""
        return []

    def trunk_features(self, x: Tensor) -> list[Tensor]:
        """Compute the features of the `sole_trunks` for images (B, C, H, W). `decode` takes them as
        `shared`, for any tasks, and then does not read its images."""
        return self.share(x)

    def decode(
        self, x: Tensor, shared: list[Tensor], tasks: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        """Compute the raw outputs from the shared features.

        Args:
            x: images (B, C, H, W).
            shared: the result of `share` for these images and tasks, or detached copies of it.
            tasks: names of the tasks to decode; None for all.

        Returns:
            By task name (B, classes), (B, classes, H, W), (B, outputs) or (B, outputs, H, W),
            depending on the kind of the task (see the class).
        """
        raise AssertionError(f"{type(self).__name__} should define `decode`")

    def extra_losses(
        self, x: Tensor, shared: list[Tensor], tasks: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        """Compute scalars that are added to the tasks' training losses, such as a distillation
        loss.

        Args:
            x: images (B, C, H, W). With several workers B may be 0; the result is then not used,
                but must depend on the same parameters.
            shared: the result of `share` for these images and tasks.
            tasks: names of the tasks of the step; None for all.

        Returns:
            Means over the images, by task name; empty by default.
        """
        return {}

    def auxiliary_outputs(
        self, x: Tensor, shared: list[Tensor], tasks: Sequence[str] | None = None
    ) -> dict[str, list[Tensor]]:
        """Compute further outputs of tasks for deep supervision. In training, the task loss of each
        of them is added to the loss of the main output.

        Args:
            x: images (B, C, H, W).
            shared: the result of `share` for these images and tasks.
            tasks: names of the tasks of the step; None for all.

        Returns:
            By task name a list of outputs in the shapes of `decode`; empty by default.
        """
        return {}

    def shared_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that more than one task uses."""
        raise AssertionError(f"{type(self).__name__} should define `shared_parameters`")

    def task_parameters(self, name: str) -> list[nn.Parameter]:
        """Return the parameters that only task `name` uses."""
        raise AssertionError(f"{type(self).__name__} should define `task_parameters`")

    def forward(self, x: Tensor, tasks: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Return the raw outputs by task name (see `decode`) for images (B, C, H, W), of the named
        tasks or of all."""
        return self.decode(x, self.share(x, tasks), tasks)

    def predict(
        self, x: Tensor, labels: Mapping[str, Tensor], tasks: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        """Return the outputs that an evaluation compares with the labels: those of `forward`,
        except for baselines that read ground-truth labels (`uses_labels`).

        Args:
            x: images (B, C, H, W).
            labels: the ground truth by task name, first axis B.
            tasks: names of the tasks to evaluate; None for all.
        """
        return self(x, tasks)  # type: ignore[no-any-return]

    def chosen(self, tasks: Sequence[str] | None) -> list[str]:
        """Return the names of the selected tasks, in the order of the cards."""
        return [task.name for task in self.tasks if tasks is None or task.name in tasks]
