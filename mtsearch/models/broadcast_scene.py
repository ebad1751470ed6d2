"""The broadcast-scene baseline for segmentation of images that show one scene each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.models.base import Backbone, MultiTaskModel
from mtsearch.models.heads import build_head

KNOWN_LOGIT = 10.0  # the logit of a ground-truth class


class SceneToPixels(nn.Module):
    """Scene logits (B, scenes) -> pixel logits (B, outputs, H, W), the same at every pixel.

    Classes are matched by name, or by index if a card has no names. The undefined class, which has
    no scene, gets a learned logit.

    Raises:
        BadInput: a pixel class has no scene of the same name.
    """

    order: Tensor

    def __init__(self, scene: TaskCard, pixels: TaskCard, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        scenes, classes = (
            list(task.classes) or list(map(str, range(task.outputs))) for task in (scene, pixels)
        )
        trained = pixels.undefined is not None and pixels.undefined != pixels.ignore
        missing = [
            name
            for number, name in enumerate(classes)
            if name not in scenes and not (trained and number == pixels.undefined)
        ]
        if missing:
            raise BadInput(
                "`trial.architecture: broadcast_scene` assigns the scene's class to all pixels, but"
                f" `{pixels.name}` has classes that `{scene.name}` lacks: {', '.join(missing)}. Use"
                " another architecture."
            )
        self.undefined = nn.Parameter(torch.zeros(1)) if trained else None
        self.register_buffer(
            "order",
            torch.tensor(
                [scenes.index(name) if name in scenes else len(scenes) for name in classes]
            ),
        )

    def forward(self, scene: Tensor) -> Tensor:
        if self.undefined is not None:
            scene = torch.cat([scene, self.undefined.expand(len(scene), 1)], 1)
        return scene.index_select(1, self.order)[:, :, None, None].expand(-1, -1, *self.size)


class BroadcastScene(MultiTaskModel):
    """A trunk and a head for the scene; every pixel of a segmentation gets the scene's logits.

    With `scene: labelled` the evaluation uses the ground-truth scene of each image. Its metrics are
    an upper bound for networks that classify whole images.
    """

    def __init__(
        self, settings: schema.BroadcastSceneConfig, backbone: Backbone, tasks: Sequence[TaskCard]
    ) -> None:
        super().__init__(tasks)
        kinds = sorted(task.kind for task in tasks)
        if kinds[:1] != ["classification"] or len(kinds) < 2 or set(kinds[1:]) != {"segmentation"}:
            raise BadInput(
                "`trial.architecture: broadcast_scene` needs one classification, the scene, and"
                f" segmentations. Found {', '.join(kinds)}. Choose another architecture."
            )
        self.scene = next(task for task in tasks if task.kind == "classification")
        self.uses_labels = settings.scene == "labelled"
        self.trunk = backbone.trunk(["vector"])
        self.head = build_head(self.scene, backbone)
        size = backbone.shape[1:]
        others = [task for task in tasks if task is not self.scene]
        # `brushes` is the name in the checkpoints of earlier runs
        self.brushes = nn.ModuleDict(
            {task.name: SceneToPixels(self.scene, task, size) for task in others}
        )
        self.prunable = self.trunk.rows("trunk")

    def share(self, x: Tensor, tasks: Sequence[str] | None = None) -> list[Tensor]:
        return self.trunk(x)  # type: ignore[no-any-return]

    def decode(
        self, x: Tensor, shared: list[Tensor], tasks: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        return self._broadcast(self.head(shared[0]), tasks)

    def predict(
        self, x: Tensor, labels: Mapping[str, Tensor], tasks: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        """Return the outputs of `forward`; with `scene: labelled` the ground-truth scenes (B,)
        replace the predicted ones."""
        scene = self.head(self.share(x, tasks)[0])
        if self.uses_labels and self.scene.name in labels:
            truth = labels[self.scene.name]
            known = truth != self.scene.ignore
            certain = KNOWN_LOGIT * F.one_hot(torch.where(known, truth, 0), self.scene.outputs).to(
                scene.dtype
            )
            scene = torch.where(known[:, None], certain, scene)
        return self._broadcast(scene, tasks)

    def _broadcast(self, scene: Tensor, tasks: Sequence[str] | None) -> dict[str, Tensor]:
        return {
            name: scene if name == self.scene.name else self.brushes[name](scene)
            for name in self.chosen(tasks)
        }

    def shared_parameters(self) -> list[nn.Parameter]:
        return [*self.trunk.parameters(), *self.head.parameters()]

    def task_parameters(self, name: str) -> list[nn.Parameter]:
        return list(self.brushes[name].parameters()) if name in self.brushes else []
