"""What a test keeps besides metrics: tables of counts per class, and a few examples with their
images, as a tree of plain values that fits into one file of a run."""

from __future__ import annotations

import base64
import colorsys
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mtsearch.config.cards import TaskCard
from mtsearch.config.metrics import has_values
from mtsearch.data import Dataset, Split
from mtsearch.models import MultiTaskModel
from mtsearch.training.loaders import make_batches

EXAMPLES = 12
"""Examples of a task, and fewer where there are more than `MANY_TASKS` tasks."""
MANY_TASKS = 4
MAX_CLASSES = 100
"""Tables of counts with more classes are left out."""
MAX_VALUES = 8
"""Examples of a regression with more values are left out."""
SIDE, DENSE_SIDE = 96, 160
"""The longest side in pixels of an image, and of one with a mask or a restored image."""
MAX_CHARACTERS = 600_000
"""Of all images together: the examples of the last tasks are left out beyond it."""


def predictions_of(trial: Any, tables: Mapping[str, list[list[int]]]) -> dict[str, Any]:
    """The tables of counts and the examples of a trial's selected network on the test split.

    The examples of a task are at equal distances among its labelled test images, so that all
    trials on the same data have the same ones. Inputs that are not images have none.

    Args:
        trial: a finished `Trial` or `Population`.
        tables: of counts by task, as `evaluate` fills them.

    Returns:
        `schema`, `images` (data URIs, PNG or WebP) and `tasks`: by name the `kind`, the `classes`,
        `confusion` (rows are the true classes) or `counts` (per tag true positives, false
        positives, false negatives, labels), and `examples`. Each example has an `image` (its place
        in `images`), a `truth` and an `answer`: the number of a class, a list of the numbers of
        tags, a list of values, or for a segmentation or restoration the place of an image.
    """
    dataset, tasks = trial.dataset, trial.tasks
    images: list[str] = []
    found: dict[str, Any] = {}
    for task in tasks:
        entry: dict[str, Any] = {"kind": task.kind, "classes": list(task.classes)}
        table = tables.get(task.name)
        if table is not None and len(table) <= MAX_CLASSES:
            entry["counts" if task.kind == "multilabel" else "confusion"] = table
        found[task.name] = entry
    album = _Album(images)
    most = EXAMPLES if len(tasks) <= MANY_TASKS else max(2, EXAMPLES * MANY_TASKS // len(tasks))
    network = trial.selected_model()
    autocast = torch.bfloat16 if trial.config.precision == "bfloat16" else None
    test = dataset.splits["test"]
    for index, members in _chosen(test, tasks, most) if dataset.pictures else ():
        pictures, labels, outputs = _computed(
            network, dataset, index, members, trial.device, autocast
        )
        for task in members:
            if sum(map(len, images)) < MAX_CHARACTERS:
                given = labels[task.name], outputs[task.name]
                found[task.name] |= _examples(task, pictures, *given, album)
    return {"schema": 1, "images": images, "tasks": found}


def _chosen(
    split: Split, tasks: Sequence[TaskCard], most: int
) -> list[tuple[Tensor, list[TaskCard]]]:
    """The indices of the examples, each with the tasks that use them."""
    found: dict[tuple[int, ...], list[TaskCard]] = {}
    for task in tasks:
        labelled = split.labelled(task).nonzero().flatten().cpu()
        count = min(most, len(labelled))
        if count:
            places = np.linspace(0, len(labelled) - 1, count).round().astype(int)
            found.setdefault(tuple(labelled[places].tolist()), []).append(task)
    return [(torch.tensor(index), members) for index, members in found.items()]


@torch.inference_mode()
def _computed(
    network: MultiTaskModel,
    dataset: Dataset,
    index: Tensor,
    tasks: Sequence[TaskCard],
    device: torch.device,
    autocast: torch.dtype | None,
) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """The images in [0, 1], the labels and the outputs of examples, on the CPU."""
    part = dataset.splits["test"].take(index)
    images, labels = next(iter(make_batches(dataset, part, len(index), device)))
    names = [task.name for task in tasks]
    with torch.autocast(device.type, dtype=autocast, enabled=autocast is not None):
        outputs = network.eval().predict(images, labels, names)
    mean, std = (torch.tensor(v, device=device)[:, None, None] for v in (dataset.mean, dataset.std))
    pixels = (images * std + mean).clamp(0, 1).cpu()
    return (
        pixels,
        {name: labels[name].cpu() for name in names},
        {name: outputs[name].float().cpu() for name in names},
    )


class _Album:
    """The images of a file, each once."""

    def __init__(self, images: list[str]) -> None:
        self._images, self._places = images, {image: i for i, image in enumerate(images)}

    def add(self, image: Image.Image, exact: bool = False) -> int:
        """The place of an image; `exact` for masks."""
        text = data_uri(image, exact)
        if text not in self._places:
            self._places[text] = len(self._images)
            self._images.append(text)
        return self._places[text]


def data_uri(image: Image.Image, exact: bool = False) -> str:
    """An image as text: PNG, or WebP where that is smaller and `exact` is false."""
    forms = [("png", _encoded(image, "PNG", optimize=True))]
    if not exact:
        forms.append(("webp", _encoded(image, "WEBP", quality=85)))
    kind, data = min(forms, key=lambda form: len(form[1]))
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def _examples(
    task: TaskCard, pictures: Tensor, labels: Tensor, outputs: Tensor, album: _Album
) -> dict[str, Any]:
    """The entry `examples` of a task, and for a segmentation `masks`: the colour of each class that
    its examples show. Nothing for outputs that have no form a page can show."""
    dense = task.kind in ("segmentation", "restoration")
    if task.kind == "restoration" and task.outputs not in (1, 3):
        return {}
    answers: list[Any] = []
    shown: dict[str, Any] = {}
    if task.kind == "classification":
        shares = outputs.softmax(1).max(1)
        truths, answers = labels.tolist(), shares.indices.tolist()
        shown = {"share": [round(share, 4) for share in shares.values.tolist()]}
    elif task.kind == "ordinal":
        truths, answers = labels.tolist(), (outputs > 0).sum(1).tolist()
    elif task.kind == "multilabel":
        truths = [_places(row > 0.5) for row in labels]
        answers = [_places(row > 0) for row in outputs]
    elif dense:
        draw = _mask if task.kind == "segmentation" else _picture
        predicted = outputs.argmax(1) if task.kind == "segmentation" else outputs
        if draw is _mask:
            labels = torch.where(labels == task.ignore, -1, labels)
        truths = [album.add(draw(label, DENSE_SIDE), draw is _mask) for label in labels]
        answers = [album.add(draw(output, DENSE_SIDE), draw is _mask) for output in predicted]
    elif has_values(task.kind) and outputs.flatten(1).shape[1] <= MAX_VALUES:
        truths = [_values(row) for row in labels]
        answers = [_values(row) for row in outputs]
    else:
        return {}
    side = DENSE_SIDE if dense else SIDE
    found: list[dict[str, Any]] = [
        {"image": album.add(_picture(picture, side)), "truth": truth, "answer": answer}
        for picture, truth, answer in zip(pictures, truths, answers, strict=True)
    ]
    for key, values in shown.items():
        for example, value in zip(found, values, strict=True):
            example[key] = value
    if task.kind != "segmentation":
        return {"examples": found}
    classes = np.unique(torch.cat([labels.flatten(), predicted.flatten()]).numpy()).tolist()
    masks = [[c, "#" + bytes(_colour(c)).hex()] for c in classes if 0 <= c < 256]
    return {"examples": found, "masks": masks}


def _places(mask: Tensor) -> list[int]:
    return [int(place) for place in mask.nonzero().flatten()]


def _values(row: Tensor) -> list[float | None]:
    return [float(f"{v:.5g}") if math.isfinite(v) else None for v in row.flatten().tolist()]


def _picture(pixels: Tensor, side: int) -> Image.Image:
    """Pixels (C, H, W) in [0, 1] as an image: the first three channels, or the first one."""
    channels = pixels[:3] if len(pixels) >= 3 else pixels[:1]
    values = (channels.nan_to_num().clamp(0, 1) * 255).round().to(torch.uint8)
    image = Image.fromarray(values.movedim(0, -1).squeeze(-1).numpy())
    return image.resize(_size(image, side), Image.Resampling.LANCZOS)


def _mask(classes: Tensor, side: int) -> Image.Image:
    """Classes (H, W) as a mask with a colour for each; what is not labelled is transparent."""
    known = (classes >= 0) & (classes < 255)
    places = torch.where(known, classes, 255).to(torch.uint8)
    image = Image.fromarray(places.numpy(), "L")
    image = image.resize(_size(image, side), Image.Resampling.NEAREST)
    image = Image.fromarray(np.asarray(image), "P")
    image.putpalette([value for c in range(255) for value in _colour(c)] + [0, 0, 0])
    image.info["transparency"] = 255
    return image


def _size(image: Image.Image, side: int) -> tuple[int, int]:
    scale = min(1.0, side / max(image.size))
    return max(1, round(image.width * scale)), max(1, round(image.height * scale))


def _colour(number: int) -> tuple[int, int, int]:
    """The colour of a class: hues at steps of the golden angle, which keeps neighbours apart."""
    hue, light = (0.61803398875 * number + 0.58) % 1, (0.5, 0.66, 0.36)[number % 3]
    red, green, blue = colorsys.hls_to_rgb(hue, light, 0.85)
    return round(255 * red), round(255 * green), round(255 * blue)
