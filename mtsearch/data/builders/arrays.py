"""Arrays in `.npy` files, whose first axis is the examples."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mtsearch.config.cards import DatasetCard, TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.data.array_inputs import ArrayInputs
from mtsearch.data.builders.base import DatasetBuilder, SplitArrays, SplitSpec, dataset_builder
from mtsearch.data.builders.table_splits import complete_splits
from mtsearch.data.formats import LabelledImages
from mtsearch.data.mapped_rows import MappedRows, open_array
from mtsearch.data.sources import FileSource, ImageSource

KINDS = ("classification", "ordinal", "multilabel", "regression")


@dataset_builder("arrays")
class Arrays(DatasetBuilder):
    """Vectors (N, features), sequences (N, channels, length) or feature maps (N, channels, height,
    width) in one `.npy` file for each split, and labels in `<stem>_<task>.npy` beside it.

    Labels are whole numbers of classes (the task's `ignore` is missing), 0 or 1 for each tag (N,
    tags), or numbers (N,) or (N, outputs), of which NaN is missing. Files are memory-mapped.

    Attributes:
        train: the inputs of the training split, relative to the data root.
        val: of the validation split; without it a part of the training split.
        test: of the test split; without it `test_fraction` of the training split.
        test_fraction: the share of test examples if there is no `test`.
        order_seed: of the order in which test examples are drawn.
    """

    kind: Literal["arrays"] = "arrays"
    train: str
    val: str | None = None
    test: str | None = None
    test_fraction: float | None = Field(None, gt=0, lt=1)
    order_seed: int = Field(0, ge=0)

    @property
    def reads_shape(self) -> bool:
        return True

    def _given(self) -> dict[str, str]:
        given = {"train": self.train, "val": self.val, "test": self.test}
        return {name: file for name, file in given.items() if file is not None}

    def sources(self) -> dict[str, ImageSource]:
        files = tuple(self._given().values())
        return {"arrays": FileSource(names=files, files=files)}

    def beside(self, name: str, images: LabelledImages) -> list[str]:
        root = images.tree.path
        return [
            path.relative_to(root).as_posix()
            for file in map(Path, self._given().values())
            for path in sorted((root / file.parent).glob(f"{file.stem}_*.npy"))
        ]

    def compose(
        self, card: DatasetCard, found: dict[str, LabelledImages], spec: SplitSpec
    ) -> dict[str, SplitArrays]:
        root = found["arrays"].tree.path
        inputs = {name: open_array(root / file) for name, file in self._given().items()}
        shape = inputs["train"].shape[1:]
        for name, array in inputs.items():
            if (
                not 2 <= array.ndim <= 4
                or array.shape[1:] != shape
                or array.dtype.kind not in "iuf"
            ):
                raise BadInput(
                    f"{root / self._given()[name]} should contain numbers of the shape"
                    " (N, features), (N, channels, length) or (N, channels, height, width), as"
                    " `train` does. Found"
                    f" {array.dtype} of the shape {array.shape}; correct it."
                )
        about = ArrayInputs(shape)
        labels = {
            name: [_labels(task, root / file, len(inputs[name])) for task in card.tasks]
            for name, file in self._given().items()
        }
        sizes = {name: len(array) for name, array in inputs.items()}
        parts: dict[str, list[int]] = {"train": [], "val": [], "test": []}
        start = 0
        for name, size in sizes.items():
            parts[name] = list(range(start, start + size))
            start += size
        index = complete_splits(
            parts, spec, self.test_fraction, self.order_seed, self.train, "source"
        )
        result = {}
        for name, places in index.items():
            origin = name if name in inputs else "train"
            rows = places - parts[origin][0]
            result[name] = SplitArrays(
                cast("NDArray[Any]", MappedRows(inputs[origin], rows, about.image_shape)),
                tuple(values[rows] for values in labels[origin]),
                inputs=about.as_dict(),
            )
        return result


def _labels(task: TaskCard, file: Path, count: int) -> NDArray[Any]:
    path = file.with_name(f"{file.stem}_{task.column or task.name}.npy")
    if not path.exists():
        raise BadInput(
            f"There is no {path}, the labels of task `{task.name}` for {file.name}; save them"
            " there."
        )
    array = np.asarray(open_array(path))
    classes = task.kind in ("classification", "ordinal")
    if task.kind == "regression" and task.outputs == 1 and array.ndim == 1:
        array = array[:, None]
    wanted = (count,) if classes else (count, task.outputs)
    whole = array.dtype.kind in "iu"
    if task.kind not in KINDS or array.shape != wanted or not (whole or array.dtype.kind in "fb"):
        raise BadInput(
            f"{path} should contain the labels {wanted} of task `{task.name}`, a {task.kind}. Found"
            f" {array.dtype} of the shape {array.shape}; correct it."
        )
    if classes and not whole:
        raise BadInput(
            f"{path} should contain whole numbers of classes. Found {array.dtype}; convert it."
        )
    values = array.astype(np.int64 if classes else np.float32)
    if not classes and np.isinf(values).any():
        raise BadInput(f"{path} should contain finite numbers, or NaN. Found inf; correct it.")
    if task.kind == "multilabel" and not np.isin(values[~np.isnan(values)], (0, 1)).all():
        raise BadInput(f"{path} should contain 0 and 1, or NaN. Found others; correct it.")
    return values
