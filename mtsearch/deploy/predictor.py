"""Predictions for image files and arrays, as classes, values and masks by task."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.config.metrics import has_values
from mtsearch.data import Dataset
from mtsearch.data.array_inputs import ArrayInputs
from mtsearch.data.columns import columns_of
from mtsearch.data.packing import pack
from mtsearch.deploy.examples import TableRows
from mtsearch.deploy.preprocessing import Preprocessing
from mtsearch.deploy.serving import given_shape, serving_of

ROUNDING = 1e-3  # by which floating-point images may lie outside [0, 1]
Image = str | Path | NDArray[np.uint8] | Tensor


@dataclass(frozen=True)
class Prediction:
    """What a network predicts for one task on one image.

    Attributes:
        task: its name.
        kind: `classification`, `multilabel` (the tags are `value`), `ordinal`, `regression`,
            `segmentation`, `restoration`, `depth`, `normals` or a plug-in's.
        label: of a classification, the name of the most probable class (its number as text where
            the data card names no classes); else None.
        probabilities: of a classification, the softmax of the logits by class name; else None.
        value: of any other kind. Regression: a float, or (outputs,) floats; segmentation: the most
            probable class of each pixel, int64 (H, W); normals: vectors of length 1, (3, H, W);
            else the raw output of the network, as of a depth, (1, H, W).
    """

    task: str
    kind: str
    label: str | None = None
    probabilities: dict[str, float] | None = None
    value: Any = None

    @property
    def probability(self) -> float | None:
        """Probability of `label`, in [0, 1]; None if there is no label."""
        if self.label is None or self.probabilities is None:
            return None
        return self.probabilities[self.label]


class Predictor(nn.Module):
    """A trained multi-task network with the settings to read images.

    Calling it maps float images (B, C, H, W) in [0, 1] to raw outputs by task; `predict` accepts
    files and arrays.

    Args:
        network: takes normalised images; in eval mode.
        dataset: the dataset that it was trained on, which gives the shape, the normalisation and
            the class names.
        tasks: the tasks of the network's outputs.
    """

    def __init__(self, network: nn.Module, dataset: Dataset, tasks: Sequence[TaskCard]) -> None:
        super().__init__()
        self.serving = serving_of(network, dataset)
        self.shape = given_shape(dataset)
        self.tasks = tuple(tasks)
        self.preprocessing: Preprocessing | ArrayInputs | None = dataset.inputs
        if dataset.pictures:
            self.preprocessing = Preprocessing.of(dataset)
        self.eval()

    @property
    def network(self) -> nn.Module:
        """The multi-task network, which takes normalised images."""
        return self.serving.model

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Raw outputs by task for float images (B, C, H, W) in [0, 1]."""
        return self.serving(images)  # type: ignore[no-any-return]

    @torch.no_grad()
    def predict(self, images: Any, batch_size: int = 64) -> list[dict[str, Prediction]]:
        """One prediction per task for each image, or for each row or array.

        Args:
            images: paths of image files, uint8 arrays (H, W, C) or (H, W), or tensors (C, H, W),
                either uint8 or float in [0, 1]. Files are scaled to the size of the training images
                in the same way as these; arrays and tensors must have that size. For a network on
                arrays: an array or tensor (N, ...) of raw numbers, or, for one on the columns of a
                table, a data frame or another mapping of columns. For a network on other inputs,
                one batch (B, ...) as its data loaders yielded: a tensor, or a tuple or dict of
                tensors.
            batch_size: images per batch of the network.

        Returns:
            One dict by task for each image, in the order of the images.

        Raises:
            BadInput: a file cannot be read, an array has another size, or its numbers are neither
                uint8 nor in [0, 1].
        """
        given = isinstance(self.preprocessing, Preprocessing)
        if isinstance(self.preprocessing, ArrayInputs):
            images = list(_arrays(images, self.preprocessing))
        elif self.preprocessing is None:
            images = list(self._rows(images))
        elif isinstance(images, str | Path | np.ndarray) or (
            isinstance(images, Tensor) and images.dim() == 3
        ):
            images = [images]
        device = next(self.parameters()).device
        found: list[dict[str, Prediction]] = []
        for start in range(0, len(images), batch_size):
            part = images[start : start + batch_size]
            chunk = [self._pixels(image) if given else image for image in part]
            outputs = self(torch.stack(chunk).to(device))
            found += [
                {task.name: prediction(task, outputs[task.name][i].cpu()) for task in self.tasks}
                for i in range(len(chunk))
            ]
        return found

    def _rows(self, inputs: Any) -> Tensor:
        """Inputs that are not images as rows (B, ...) of the network."""
        parts = getattr(self.network, "inputs", ())
        if isinstance(inputs, np.ndarray):
            inputs = torch.from_numpy(inputs)
            inputs = inputs.float() if inputs.is_floating_point() else inputs
        rows = pack(inputs, parts, "`images`")
        if rows.numel() == len(rows) * math.prod(self.shape):  # of columns, for example
            rows = rows.reshape(len(rows), *self.shape)
        if tuple(rows.shape[1:]) != self.shape:
            raise BadInput(
                f"`images` should be a batch of inputs of shape {self.shape}. Found"
                f" {tuple(rows.shape)}. Give (B, ...) as the data loaders did."
            )
        return rows

    def _pixels(self, image: Image) -> Tensor:
        """Read an image as float (C, H, W) in [0, 1]."""
        assert isinstance(self.preprocessing, Preprocessing)
        if isinstance(image, str | Path):
            try:
                content = Path(image).read_bytes()
            except OSError as error:
                raise BadInput(
                    f"the image {image} cannot be read ({error.strerror}). Give another path."
                ) from None
            image = self.preprocessing.pixels(content, str(image))
        if isinstance(image, np.ndarray):
            array = np.array(image if image.ndim == 3 else image[..., None])
            image = torch.from_numpy(array).movedim(-1, 0)
        if not isinstance(image, Tensor):
            raise BadInput(
                "`images` should contain paths, arrays or tensors. Found"
                f" {type(image).__name__}. Convert it, for example with `numpy.asarray`."
            )
        if tuple(image.shape) != self.shape:
            raise BadInput(
                f"`images` should have the shape {self.shape} (channels, height, width) of the"
                f" training images. Found {tuple(image.shape)}. Scale them, or give paths of files."
            )
        if image.dtype == torch.uint8:
            return image.float() / 255
        low, high = float(image.min()), float(image.max())
        if not image.is_floating_point() or not (low >= -ROUNDING and high <= 1 + ROUNDING):
            raise BadInput(
                "`images` should be of type uint8, or of floating-point numbers in [0, 1]. Found"
                f" {image.dtype} in [{low:g}, {high:g}]. Convert them."
            )
        return image.float()


def _arrays(given: Any, inputs: ArrayInputs) -> Tensor:
    """The arrays (N, ...) in a data frame, an array or a tensor."""
    if isinstance(given, np.ndarray | Tensor | list | tuple):
        if any(isinstance(value, str | Path) for value in given):
            raise BadInput(
                "this network reads arrays. Found a path. Give a data frame or an array."
            )
        arrays = torch.as_tensor(np.asarray(given), dtype=torch.float32)
        if tuple(arrays.shape[1:]) != inputs.shape:
            raise BadInput(
                f"The arrays should have the shape (N, {', '.join(map(str, inputs.shape))}). Found"
                f" {tuple(arrays.shape)}. Give one row per example."
            )
        if not bool(arrays.isfinite().all()):
            raise BadInput("The arrays should contain finite numbers. Found NaN or inf. Fill them.")
        return arrays
    if not inputs.features:
        raise BadInput(
            f"this network reads arrays of the shape {inputs.shape}. Found"
            f" {type(given).__name__}. Give an array (N, ...)."
        )
    rows = TableRows(columns_of(given, "the data frame"), inputs)
    values, wrong = rows.read(0, len(rows.names))
    if wrong:
        raise BadInput(next(iter(wrong.values())))
    return torch.stack([values[place] for place in range(len(values))])


def prediction(task: TaskCard, output: Tensor) -> Prediction:
    """The prediction for one image from the raw output of a task."""
    if task.kind == "classification":
        names = task.classes or tuple(str(number) for number in range(task.outputs))
        shares = output.float().softmax(0).tolist()
        label = names[int(output.argmax())]
        return Prediction(task.name, task.kind, label, dict(zip(names, shares, strict=True)))
    if task.kind == "ordinal":
        names = task.classes or tuple(str(number) for number in range(task.outputs))
        return Prediction(task.name, task.kind, names[int((output > 0).sum())])
    if task.kind == "multilabel":
        names = task.classes or tuple(str(number) for number in range(task.outputs))
        found = dict(zip(names, output.float().sigmoid().tolist(), strict=True))
        tags = [name for name, share in found.items() if share > 0.5]
        return Prediction(task.name, task.kind, None, found, tags)
    if task.kind == "segmentation":
        return Prediction(task.name, task.kind, value=output.argmax(0))
    if task.kind == "normals":
        return Prediction(task.name, task.kind, value=F.normalize(output.float(), dim=0))
    if has_values(task.kind) and output.numel() == 1:
        return Prediction(task.name, task.kind, value=float(output))
    return Prediction(task.name, task.kind, value=output)
