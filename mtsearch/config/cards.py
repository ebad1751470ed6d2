"""Data cards: where a dataset comes from, its tasks, classes, splits, statistics and licence."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from mtsearch.config.base import Model

TaskKind = Literal["classification", "segmentation", "regression"]


class TaskCard(Model):
    """One labelled prediction. `outputs` is the number of classes, or of channels for a regression."""

    name: str
    kind: TaskKind = "classification"
    outputs: int = Field(gt=0)
    classes: tuple[str, ...] = ()
    ignore: int = -1  # the label that means "not labelled"

    @model_validator(mode="after")
    def _classes_match(self) -> TaskCard:
        if self.classes and len(self.classes) != self.outputs:
            raise ValueError(f"`classes` should hold `outputs` names. Found {len(self.classes)} for outputs = {self.outputs}")
        return self


class DatasetCard(Model):
    """A dataset as a file `datasets/<name>.yaml` describes it.

    `source` is read by the composer named in it (see `mtsearch.data`); `sample` names the embedded dataset that stands in when no data
    root was given.
    """

    name: str
    title: str
    description: str = ""
    source: dict[str, Any]
    tasks: tuple[TaskCard, ...]
    shape: tuple[int, int, int]  # channels, height, width
    mean: tuple[float, ...]  # per channel, of pixels in [0, 1]
    std: tuple[float, ...]
    val_fraction: float = Field(gt=0, lt=1)
    licence: str
    homepage: str = ""
    how_to_get: str
    sample: str | None = None
    embedded: bool = False
