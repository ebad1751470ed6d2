"""What `predict` reads: image files, or the rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from mtsearch.config.errors import BadInput
from mtsearch.data.array_inputs import ArrayInputs
from mtsearch.data.columns import Columns
from mtsearch.deploy.preprocessing import Preprocessing

LARGEST = 2**30  # bytes of an image file


class Examples(Protocol):
    """Examples to predict.

    Attributes:
        key: the column of the result that says which example a row is of.
        names: what this column contains, by example.
    """

    key: str
    names: list[str]

    def read(self, start: int, stop: int) -> tuple[dict[int, Tensor], dict[int, str]]:
        """The inputs of the examples `start` to `stop` that can be read, and why the others cannot,
        by number from `start`: uint8 (C, H, W), or float32 in the shape of the arrays."""


class ImageFiles:
    """Image files, decoded as in the validation."""

    key = "path"

    def __init__(self, paths: Sequence[Path], steps: Preprocessing) -> None:
        self._paths, self._steps = paths, steps
        self.names = [str(path) for path in paths]

    def read(self, start: int, stop: int) -> tuple[dict[int, Tensor], dict[int, str]]:
        pixels, errors = {}, {}
        for index, path in enumerate(self._paths[start:stop]):
            try:
                if path.exists() and not path.is_file():
                    raise BadInput(f"The image {path} is not a file.")
                if path.stat().st_size > LARGEST:
                    raise BadInput(f"The image {path} is larger than 1 GiB.")
                pixels[index] = self._steps.pixels(path.read_bytes(), str(path))
            except BadInput as error:
                errors[index] = str(error)
            except (OSError, ValueError) as error:  # ValueError: a null character in a path
                reason = getattr(error, "strerror", None) or str(error)
                errors[index] = f"The image {path} cannot be read ({reason})."
        return pixels, errors


class TableRows:
    """The rows of a table, made into vectors as in the training.

    Raises:
        BadInput: the table lacks a column, or a column of numbers contains texts.
    """

    key = "row"

    def __init__(self, table: Columns, inputs: ArrayInputs) -> None:
        self.names = [str(number) for number in table.numbers]
        values, wrong = inputs.vectors(table)
        missing = np.isnan(values)
        if inputs.fill:
            values = np.where(missing, np.array(inputs.fill), values)
        else:
            for place, feature in np.argwhere(missing).tolist():
                wrong.setdefault(place, []).append(
                    f"Row {self.names[place]} of {table.where} has no"
                    f" `{inputs.features[feature]}`, and no value takes its place."
                )
        self._values = torch.from_numpy(values.astype(np.float32))
        self._wrong = {place: sentences[0] for place, sentences in wrong.items()}

    def read(self, start: int, stop: int) -> tuple[dict[int, Tensor], dict[int, str]]:
        places = range(start, min(stop, len(self.names)))
        errors = {p - start: self._wrong[p] for p in places if p in self._wrong}
        return {p - start: self._values[p] for p in places if p not in self._wrong}, errors


def need_arrays(steps: Any) -> ArrayInputs:
    """The inputs of a network on arrays. Raises BadInput for one on images."""
    if not isinstance(steps, ArrayInputs):
        raise BadInput(
            "`table` goes with networks on columns, but this one reads images. Give `images=PATH`."
        )
    if not steps.features:
        raise BadInput(
            "`table` goes with networks on columns, but this one reads arrays of the shape"
            f" {steps.shape}. Predict from Python, with `model.predict(array)`."
        )
    return steps


def need_images(steps: Any) -> Preprocessing:
    """The preprocessing of a network on images. Raises BadInput for one on arrays."""
    if not isinstance(steps, Preprocessing):
        columns = ", ".join(steps.features[:5]) or "arrays"
        raise BadInput(
            f"`images` goes with networks on images, but this one reads {columns}"
            f"{', ...' if len(steps.features) > 5 else ''}. Give `table=FILE.csv`."
        )
    return steps
