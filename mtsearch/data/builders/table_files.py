"""Labels of pixels from the files that a column of a table names."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence

from mtsearch.config.cards import DatasetCard, TaskCard
from mtsearch.data.builders.table_labels import label_columns
from mtsearch.data.dense import DecodeDense, dense_dtype
from mtsearch.data.rows import FileRows, FileSet
from mtsearch.data.sources import ImageSource
from mtsearch.data.tables import Rows
from mtsearch.data.trees import Tree


def label_files(
    task: TaskCard,
    rows: Rows,
    folder: str,
    files: Mapping[str, str],
    where: str,
    wrong: list[str],
) -> list[str | None]:
    """The file of each row's labels, None where its cell is empty. Mistakes are added to `wrong`.

    Args:
        task: of a kind in `DENSE`.
        rows: of the table.
        folder: of the table in its tree.
        files: the files of the tree by their normalised names.
        where: name of the table in messages.
        wrong: the mistakes found so far.
    """
    (column,) = label_columns(task)
    found: list[str | None] = []
    for number, row in rows.items():
        cell = row[column].replace("\\", "/")
        name = files.get(posixpath.normpath(posixpath.join(folder, cell))) if cell else None
        if cell and name is None:
            wrong.append(
                f"Row {number} of {where} names {row[column]!r} in `{column}`, but there is no such"
                " file."
            )
        found.append(name)
    return found


def dense_rows(
    tree: Tree,
    task: TaskCard,
    files: Sequence[str | None],
    images: Sequence[str],
    source: ImageSource,
    card: DatasetCard,
    origin: Sequence[str],
) -> FileRows:
    """The labels of a task, decoded when they are written.

    Args:
        tree: the folder or archive of the files.
        task: of a kind in `DENSE`.
        files: of each row's labels, None for none.
        images: of each row.
        source: how the images are scaled.
        card: of the dataset.
        origin: what messages name after a file.
    """
    _, height, width = card.image_shape
    dtype = dense_dtype(task, None in files)
    decode = DecodeDense(task, (height, width), source.resize, dtype)
    pairs = [
        (image,) if file is None else (file, image)
        for file, image in zip(files, images, strict=True)
    ]
    return FileRows([FileSet(tree, pairs, decode, decode.shape, dtype, origin)])
