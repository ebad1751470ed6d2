"""Rows of a table from the outputs of a network, with masks and images as files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.config.metrics import DENSE
from mtsearch.data.tables import NO_TAG
from mtsearch.deploy.exported import Deployed
from mtsearch.deploy.predictor import prediction

Columns = dict[str, type]
"""The type of each column, `str` or `float`."""


class RowMaker:
    """Makes rows for one network. It computes one black image at first, for the shapes.

    Args:
        network: whose outputs become rows.
        shown: how the table names the folder of masks and other files.
        key: the column that says which example a row is of.

    Raises:
        BadInput: the outputs do not fit the tasks.
    """

    def __init__(self, network: Deployed, shown: str, key: str = "path") -> None:
        self.network, self.shown, self.key = network, shown, key
        black = torch.zeros(1, *network.preprocessing.shape, device=network.device)
        with torch.no_grad():
            outputs = network.forward(black)
        self.shapes = {task.name: _shape(task, outputs) for task in network.tasks}
        self.columns: Columns = {key: str, "error": str}
        for task in network.tasks:
            self.columns |= self._columns(task)

    def rows(
        self, images: Mapping[int, Tensor], names: Sequence[str], first: int, folder: Path
    ) -> dict[int, dict[str, Any]]:
        """The rows of a batch by the index of the image in the batch.

        Args:
            images: uint8 (C, H, W) or arrays of float32, those that could be read, by index in the
                batch.
            names: the name of each example of the batch.
            first: the number of the first image of the batch in the whole table.
            folder: where files are written, each in a folder of its task.
        """
        if not images:
            return {}
        pixels = torch.stack(list(images.values())).to(self.network.device)
        pixels = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels
        with torch.no_grad():
            outputs = {name: out.cpu() for name, out in self.network.forward(pixels).items()}
        found: dict[int, dict[str, Any]] = {}
        for place, index in enumerate(images):
            row: dict[str, Any] = {self.key: names[index]}
            for task in self.network.tasks:
                stem = f"{first + index:07d}-{_safe(Path(names[index]).stem)}"
                row |= self._cells(task, outputs[task.name][place], folder, stem)
            found[index] = row
        return found

    def _columns(self, task: TaskCard) -> Columns:
        name, shape = task.name, self.shapes[task.name]
        if task.kind == "classification":
            classes = task.classes or tuple(map(str, range(task.outputs)))
            return {
                f"{name}/label": str,
                f"{name}/probability": float,
                **{f"{name}/p/{c}": float for c in classes},
            }
        if task.kind == "ordinal":
            return {f"{name}/label": str}
        if task.kind == "multilabel":
            tags = task.classes or tuple(map(str, range(task.outputs)))
            return {f"{name}/tags": str, **{f"{name}/p/{tag}": float for tag in tags}}
        if len(shape) > 1:
            return {f"{name}/{_file_kind(task)}": str}
        count = int(np.prod(shape))
        return {name: float for name in _value_columns(name, count)}

    def _cells(self, task: TaskCard, output: Tensor, folder: Path, stem: str) -> dict[str, Any]:
        name = task.name
        if task.kind == "classification":
            found = prediction(task, output)
            shares = found.probabilities or {}
            return {
                f"{name}/label": found.label,
                f"{name}/probability": found.probability,
                **{f"{name}/p/{c}": share for c, share in shares.items()},
            }
        if task.kind == "ordinal":
            return {f"{name}/label": prediction(task, output).label}
        if task.kind == "multilabel":
            found = prediction(task, output)
            shares = found.probabilities or {}
            return {
                f"{name}/tags": ";".join(found.value) or NO_TAG,
                **{f"{name}/p/{tag}": share for tag, share in shares.items()},
            }
        if output.dim() < 2:
            values = output.flatten().tolist()
            return dict(zip(_value_columns(name, len(values)), values, strict=True))
        kind = _file_kind(task)
        place = Path(_safe(name)) / f"{stem}{'.npy' if kind == 'array' else '.png'}"
        (folder / place).parent.mkdir(exist_ok=True)
        shown = prediction(task, output).value if kind == "array" else output
        _write(kind, torch.as_tensor(shown), folder / place)
        return {f"{name}/{kind}": f"{self.shown}/{place.as_posix()}"}

    @property
    def writes_files(self) -> bool:
        """Whether some predictions are files."""
        return any(len(shape) > 1 for shape in self.shapes.values())


def _shape(task: TaskCard, outputs: Mapping[str, Tensor]) -> tuple[int, ...]:
    """The shape of a task's output for one image."""
    shape = tuple(outputs[task.name].shape[1:]) if task.name in outputs else ()
    dense = task.kind in DENSE
    if (
        task.name not in outputs
        or (task.kind in ("classification", "segmentation") and shape[:1] != (task.outputs,))
        or (task.kind == "classification" and len(shape) != 1)
        or (dense and len(shape) != 3)
    ):
        raise BadInput(
            f"the network's output of the task `{task.name}` should be of {task.outputs} channels."
            f" Found the shape {shape}. Export the trial again."
        )
    return shape


def _value_columns(name: str, count: int) -> list[str]:
    return [f"{name}/value"] if count == 1 else [f"{name}/value/{i}" for i in range(count)]


def _file_kind(task: TaskCard) -> str:
    """`mask`, `image`, or `array` for kinds that are neither."""
    image = task.kind == "restoration" and task.outputs in (1, 3)
    return "mask" if task.kind == "segmentation" else "image" if image else "array"


def _write(kind: str, output: Tensor, path: Path) -> None:
    if kind == "array":
        np.save(path, output.float().numpy())
        return
    if kind == "mask":
        many = len(output) > 256
        pixels = output.argmax(0).numpy().astype(np.uint16 if many else np.uint8)
    else:
        scaled = (output.float().nan_to_num().clamp(0, 1) * 255).round()
        pixels = scaled.to(torch.uint8).movedim(0, -1).squeeze(-1).numpy()
    Image.fromarray(pixels).save(path)


def _safe(name: str) -> str:
    """A name as part of a file name."""
    return re.sub(r"[^\w.-]+", "_", name).strip(".")[:80] or "_"
