"""Data cards: where a dataset comes from, its tasks, classes, splits, statistics and licence."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator, model_validator

from mtsearch.config.base import Model
from mtsearch.config.errors import BadInput, nearest
from mtsearch.config.metrics import AGGREGATES, CHANNELS, TASK_METRICS, has_values

Channel = Annotated[int, Field(ge=0, le=255)]
Side = Annotated[int, Field(gt=0)]
Colour = tuple[Channel, Channel, Channel]
_SETTINGS: dict[str, tuple[tuple[str, ...], tuple[str | None, ...]]] = {
    "class_weights": (("classification", "segmentation"), (None, "cross_entropy", "focal")),
    "label_smoothing": (("classification", "segmentation"), (None, "cross_entropy")),
    "pos_weight": (("multilabel",), (None, "binary_cross_entropy")),
}
"""The kinds and the losses that read each setting of a loss; None is the kind's default loss."""


class TaskCard(Model):
    """One labelled prediction. `kind` is one that `task_metrics` has declared
    (`mtsearch.config.metrics`); `outputs` is the number of classes, of values for a regression, or
    of channels for a restoration; by default the number of `classes`, 1 for a regression or a
    depth, and 3 for normals.
    `loss` names one of the kind's losses, else it is the first. `column` is the task's column in a
    table, by default its name.

    `class_weights` multiply the losses of the labels of each class; `pos_weight` those of the tags
    that are set, for all tags or one by one; `label_smoothing` is the share of a label that goes to
    all classes; `focal_gamma` is the exponent of the loss `focal`.

    A regression is trained on standardised targets: `target_mean` and `target_std` are, for each
    output, those of the training labels unless they are given. Outputs and metrics but for the loss
    are in the unit of the labels.

    `colours` of a segmentation are the colours (red, green, blue) of the classes in masks that have
    colours instead of class numbers, and `ignore_colour` that of pixels without a label; `scale`
    multiplies the numbers in the files of a depth, such as 0.001 for millimetres.
    """

    name: str
    kind: str = "classification"
    outputs: int = Field(gt=0)
    classes: tuple[str, ...] = ()
    column: str | None = None
    loss: str | None = None
    class_weights: tuple[float, ...] = ()
    pos_weight: float | tuple[float, ...] | None = None
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    focal_gamma: float = Field(2.0, ge=0)
    target_mean: tuple[float, ...] = ()  # of a regression, by output
    target_std: tuple[float, ...] = ()
    ignore: int = -1  # the label that means "not labelled"
    undefined: int | None = (
        None  # the label of pixels of no named class: `ignore`, or a class that is trained
    )
    colours: tuple[Colour, ...] = ()
    ignore_colour: Colour | None = None
    scale: float = Field(1.0, gt=0)

    @property
    def missing(self) -> float:
        """The value among the labels that means "not labelled": NaN where labels are floats, else
        `ignore`."""
        return math.nan if has_values(self.kind) else self.ignore

    @model_validator(mode="before")
    @classmethod
    def _counted_outputs(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "outputs" in data:
            return data
        if classes := data.get("classes"):
            return {**data, "outputs": len(classes)} if isinstance(classes, list | tuple) else data
        fixed = {"regression": 1, **CHANNELS}.get(str(data.get("kind")))
        return data if fixed is None else {**data, "outputs": fixed}

    @field_validator("name")
    @classmethod
    def _no_aggregate(cls, name: str) -> str:
        if name in AGGREGATES:
            raise ValueError(
                f"should not be one of {', '.join(AGGREGATES)}, which are aggregates of all tasks."
                f" Found {name}. Write, for example, {name}_task"
            )
        return name

    @field_validator("kind")
    @classmethod
    def _known_kind(cls, kind: str) -> str:
        if kind not in TASK_METRICS:
            raise ValueError(f"unknown task kind `{kind}`. {nearest(kind, TASK_METRICS)}")
        return kind

    @model_validator(mode="after")
    def _channels_fit(self) -> TaskCard:
        fixed = CHANNELS.get(self.kind, self.outputs)
        if self.outputs != fixed:
            raise ValueError(
                f"`outputs` of {self.kind} should be {fixed}. Found {self.outputs}; leave it out"
            )
        return self

    @model_validator(mode="after")
    def _files_fit(self) -> TaskCard:
        """Settings of files belong to kinds that are read from files."""
        for key, given, kind in (
            ("colours", bool(self.colours), "segmentation"),
            ("ignore_colour", self.ignore_colour is not None, "segmentation"),
            ("scale", self.scale != 1, "depth"),
        ):
            if given and self.kind != kind:
                raise ValueError(f"`{key}` has no effect on {self.kind}. Leave it out")
        if self.ignore_colour is not None and not self.colours:
            raise ValueError("`ignore_colour` has no effect without `colours`. Leave it out")
        every = [*self.colours, *([self.ignore_colour] if self.ignore_colour else [])]
        if self.colours and (len(self.colours) != self.outputs or len(set(every)) < len(every)):
            raise ValueError(
                f"`colours` should contain {self.outputs} different colours, one for each class,"
                f" without the `ignore_colour`. Found {len(set(self.colours))}"
            )
        return self

    @model_validator(mode="after")
    def _undefined_is_known(self) -> TaskCard:
        if (
            self.undefined is not None
            and self.undefined != self.ignore
            and not 0 <= self.undefined < self.outputs
        ):
            raise ValueError(
                f"`undefined` should be `ignore` or one of the {self.outputs} classes. Found"
                f" {self.undefined}"
            )
        return self

    @model_validator(mode="after")
    def _weights_fit(self) -> TaskCard:
        by_tag = self.pos_weight if isinstance(self.pos_weight, tuple) else ()
        for key, values in (("class_weights", self.class_weights), ("pos_weight", by_tag)):
            if values and (len(values) != self.outputs or min(values) < 0 or not any(values)):
                raise ValueError(
                    f"`{key}` should contain {self.outputs} numbers of at least 0, one for each"
                    f" class. Found {list(values)}"
                )
        if self.pos_weight is not None and not by_tag and not float(str(self.pos_weight)) > 0:
            raise ValueError(f"`pos_weight` should be positive. Found {self.pos_weight}")
        given = {
            "class_weights": bool(self.class_weights),
            "label_smoothing": self.label_smoothing > 0,
            "pos_weight": self.pos_weight is not None,
        }
        for key, (kinds, losses) in _SETTINGS.items():
            if given[key] and (self.kind not in kinds or self.loss not in losses):
                raise ValueError(
                    f"`{key}` has no effect on the loss {self.loss or '(default)'} of"
                    f" {self.kind}. Leave it out"
                )
        return self

    @model_validator(mode="after")
    def _targets_match(self) -> TaskCard:
        if not self.target_mean and not self.target_std:
            return self
        lengths = {len(self.target_mean), len(self.target_std)}
        if self.kind != "regression" or lengths != {self.outputs} or min(self.target_std) <= 0:
            raise ValueError(
                "`target_mean` and `target_std`, of a regression, should contain a number for each"
                f" of its {self.outputs} outputs, the latter above 0. Found"
                f" {list(self.target_mean)} and {list(self.target_std)}"
            )
        return self

    @model_validator(mode="after")
    def _classes_match(self) -> TaskCard:
        if self.classes and len(self.classes) != self.outputs:
            raise ValueError(
                f"`classes` should contain `outputs` names. Found {len(self.classes)} for outputs ="
                f" {self.outputs}"
            )
        return self


# builders whose examples are images; those of others may have any shape
_IMAGES = (
    "array_folders",
    "celeba",
    "cifar10_mnist",
    "classification",
    "degraded",
    "disjoint",
    "drawn_scenes",
    "multimnist",
    "scenes_masks",
    "table",
)


class DatasetCard(Model):
    """A dataset as a file `datasets/<name>.yaml` describes it; only `name`, `source` and `tasks`
    are required.

    `source` is read by the builder named in it (see `mtsearch.data`); `shape` is that of one
    example without the batch axis, of an image (channels, height, width); `sample` names the
    embedded dataset that is used when no data root was given. `root` is the folder that contains
    the data, relative to the card, which is used when `data.root` is not given. Images are
    normalised with `mean` and `std`, per channel, of pixels in [0, 1]; without them with those of
    the training images.
    """

    name: str
    title: str = ""
    description: str = ""
    source: dict[str, Any]
    tasks: tuple[TaskCard, ...]
    shape: tuple[Side, ...] = Field((3, 64, 64), min_length=1)  # channels, height, width
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    val_fraction: float = Field(0.2, gt=0, lt=1)
    licence: str = "not stated"
    homepage: str = ""
    how_to_get: str = "give the folder that contains it as `data.root=DIR`"
    root: Path | None = None
    sample: str | None = None
    embedded: bool = False

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`shape` of a dataset of images. Raises BadInput where it has not three entries."""
        if len(self.shape) != 3:
            raise BadInput(
                f"`shape` of the data card of `{self.name}` should have the three entries channels,"
                f" height and width. Found {list(self.shape)}. Correct the data card."
            )
        return self.shape[0], self.shape[1], self.shape[2]

    @field_validator("shape")
    @classmethod
    def _of_images(cls, shape: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        if info.data.get("source", {}).get("kind") in _IMAGES and len(shape) != 3:
            raise ValueError("should be the channels, height and width of an image")
        return shape

    @model_validator(mode="before")
    @classmethod
    def _titled(cls, data: Any) -> Any:
        if isinstance(data, dict) and "title" not in data and isinstance(data.get("name"), str):
            return {**data, "title": data["name"]}
        return data
