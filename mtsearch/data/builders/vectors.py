"""A table of which some columns are inputs and others are labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mtsearch.config.cards import DatasetCard
from mtsearch.config.errors import BadInput, nearest
from mtsearch.data.array_inputs import ArrayInputs
from mtsearch.data.builders.base import DatasetBuilder, SplitArrays, SplitSpec, dataset_builder
from mtsearch.data.builders.table_labels import label_columns, table_labels
from mtsearch.data.builders.table_splits import complete_splits, named_parts
from mtsearch.data.columns import Columns, read_columns
from mtsearch.data.formats import LabelledImages
from mtsearch.data.remarks import remark
from mtsearch.data.sources import FileSource, ImageSource
from mtsearch.data.tables import refuse

_PRECISION = 1e-5  # of the values of a column, below which float32 rounds their differences


@dataset_builder("vectors")
class Vectors(DatasetBuilder):
    """Vectors of numbers from the columns of a CSV or Parquet file, with labels from others.

    Labels are read as by the builder `table`. All mistakes of a table are reported at once.

    Attributes:
        file: the table, relative to the data root.
        columns: the columns of numbers that are inputs; by default all columns that are neither
            labels, `split` nor in `categories`.
        categories: by column of texts, its values; each value is an input that is 0 or 1.
        missing: what a missing cell of an input becomes: the mean of the training examples, zero,
            or nothing, as it is refused.
        split: column with `train`, `val` or `test`; without it the splits are drawn.
        test_fraction: the share of test examples if `split` names none.
        order_seed: of the order in which test examples are drawn.
    """

    kind: Literal["vectors"] = "vectors"
    file: str
    columns: tuple[str, ...] = ()
    categories: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    missing: Literal["refuse", "mean", "zero"] = "refuse"
    split: str | None = None
    test_fraction: float | None = Field(None, gt=0, lt=1)
    order_seed: int = Field(0, ge=0)

    @property
    def reads_shape(self) -> bool:
        return True

    def sources(self) -> dict[str, ImageSource]:
        return {"file": FileSource(names=(self.file,), files=(self.file,))}

    def compose(
        self, card: DatasetCard, found: dict[str, LabelledImages], spec: SplitSpec
    ) -> dict[str, SplitArrays]:
        folder = found["file"].tree.path
        where = f"{self.file} in {folder}"
        table = read_columns(folder / self.file, where)
        inputs = self._inputs(card, table)
        wanted = [*(name for task in card.tasks for name in label_columns(task))]
        rows = table.rows([*wanted, *([self.split] if self.split else [])])
        wrong: list[str] = []
        labels = [table_labels(task, rows, where, wrong) for task in card.tasks]
        parts = named_parts(rows, self.split, where, wrong)
        values, bad = inputs.vectors(table)
        refuse([*wrong, *(sentence for place in sorted(bad) for sentence in bad[place])])
        index = complete_splits(parts, spec, self.test_fraction, self.order_seed, where, "source")
        inputs = self._filled(inputs, values, index["train"], where)
        _check_precision(inputs, values[index["train"]], where)
        images = values.astype(np.float32)[:, :, None, None]
        return {
            name: SplitArrays(
                images[rest], tuple(part[rest] for part in labels), inputs=inputs.as_dict()
            )
            for name, rest in index.items()
        }

    def _inputs(self, card: DatasetCard, table: Columns) -> ArrayInputs:
        """The inputs that the card names, or all columns that are nothing else."""
        labels = {name: task.name for task in card.tasks for name in label_columns(task)}
        others = {*labels, *([self.split] if self.split else [])}
        wanted = (*self.columns, *self.categories, *others)
        refuse(
            [
                f"{table.where} has no column `{name}`. {nearest(name, table.cells)}"
                for name in wanted
                if name not in table.cells
            ]
        )
        for name in (*self.columns, *self.categories):
            if name in others:
                what = f"the label of `{labels[name]}`" if name in labels else "the split"
                raise BadInput(
                    f"The column `{name}` of `{card.name}` is an input and {what}; remove it from"
                    " one of them in the data card."
                )
        if both := [name for name in self.columns if name in self.categories]:
            raise BadInput(
                f"The column `{both[0]}` of `{card.name}` is in `columns` and in `categories`;"
                " remove it from one of them."
            )
        numbers = self.columns or tuple(
            name for name in table.cells if name and name not in {*others, *self.categories}
        )
        features = len(numbers) + sum(map(len, self.categories.values()))
        if not features:
            raise BadInput(f"{table.where} has no column that is an input; add one.")
        return ArrayInputs((features,), numbers, self.categories)

    def _filled(
        self,
        inputs: ArrayInputs,
        values: NDArray[np.float64],
        train: NDArray[np.int64],
        where: str,
    ) -> ArrayInputs:
        """Replace missing values in place. Returns the inputs with what they are replaced by."""
        missing = np.isnan(values)
        if self.missing == "refuse":
            if missing.any():
                counts = missing.sum(0)
                lacking = [
                    f"`{name}` {count:,}"
                    for name, count in zip(inputs.features, counts.tolist(), strict=True)
                    if count
                ]
                raise BadInput(
                    f"{where} has {len(values):,} rows, of which inputs lack values:"
                    f" {', '.join(lacking[:10])}{', ...' if len(lacking) > 10 else ''}. Write"
                    " `missing: mean` or `missing: zero` under `source` in the data card, or list"
                    " other `columns`."
                )
            return inputs
        fill = np.zeros(values.shape[1])
        if self.missing == "mean":
            known = ~missing[train]
            counts = known.sum(0)
            if empty := [n for n, c in zip(inputs.features, counts.tolist(), strict=True) if not c]:
                raise BadInput(
                    f"The column `{empty[0]}` of {where} has no value in the training split; list"
                    " other `columns`, or write `missing: zero`."
                )
            fill = np.where(known, values[train], 0).sum(0) / counts
        values[...] = np.where(missing, fill, values)
        if missing.any():
            remark(
                f"empty cells of inputs filled, `missing: {self.missing}`",
                where,
                int(missing.sum()),
            )
        return ArrayInputs(
            inputs.shape, inputs.columns, inputs.categories, tuple(fill.tolist()), inputs.path
        )


def _check_precision(inputs: ArrayInputs, train: NDArray[np.float64], where: str) -> None:
    """Remark on columns whose values differ by less than float32 can represent well."""
    largest, spread = np.abs(train).max(0), train.std(0)
    for name in _coarse(inputs.features, largest, spread):
        remark("columns that differ by less than 1e-5 of their size, which float32 rounds", name)


def _coarse(names: tuple[str, ...], largest: Any, spread: Any) -> Iterator[str]:
    for name, size, deviation in zip(names, largest.tolist(), spread.tolist(), strict=True):
        if 0 < deviation < _PRECISION * size:
            yield name
