"""Prepare a dataset: ``mtsearch prepare dataset=NAME data.root=DIR``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mtsearch.commands.base import run_command, show
from mtsearch.config.cards import DatasetCard
from mtsearch.config.errors import BadInput, Halt, nearest
from mtsearch.config.overrides import parse_override, split_pairs
from mtsearch.config.plugins import load_plugins, parse_plugins
from mtsearch.config.schema import DataConfig
from mtsearch.config.validation import validate_tree

USAGE = """mtsearch prepare dataset=NAME|CARD.yaml [data.root=DIR] [plugins=[FILE.py]]
    [key=value ...]
mtsearch prepare --list
mtsearch prepare --new-card PATH [to=DIR] [tasks=[COLUMN,...]]

--new-card writes DIR/NAME.yaml, the data card of a table, a folder or an archive; tasks are the
columns of the labels of a table without images, as in `mtsearch init --help`.
Builds the store of a dataset. An existing store is kept, unless a setting differs; searches build a
missing store themselves. All cores decode images; an interrupted command continues where it
stopped when it is started again. If the files below data.root have other names or sizes than those
that the store was built from, the command says so and changes nothing. Prints what was built, its
checksum and its folder.
  dataset             a name that --list shows, or the path of a data card of your own
  data.root           the folder of the downloaded data; default $MTSEARCH_DATA, else a user cache
                      folder
  data.store          the folder of the store; default ROOT/mtsearch if that is writable, else a
                      user cache folder
  data.split_seed     the seed of the split between training and validation (42)
  data.val_fraction   the fraction of validation images (the card's)
  data.size           pixels of a side, for images that can be scaled (the card's)
  data.fold           0 to 4: one of five folds, for datasets with folds
  data.format         arrays: the store holds decoded images; encoded: it keeps the image files;
                      auto (default): encoded where decoded images would take more than 2 GB
  data.undefined      class: undefined pixels are a class of their own (ignore: not trained on)
  plugins             [FILE.py, module]: dataset builders or task kinds which the card names"""

SHOWN = 12  # inputs whose statistics are printed
KEYS = (
    "dataset",
    "root",
    "store",
    "split_seed",
    "val_fraction",
    "size",
    "fold",
    "undefined",
    "format",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 1 the store could not be written, 2 bad
    input, 130 interrupted."""
    return run_command(
        "prepare",
        USAGE,
        _prepare,
        arguments,
        {Halt: "{error}", OSError: "the store could not be written: {error}"},
        "start it again, and it continues where it stopped.",
    )


def _prepare(words: list[str]) -> int:
    if words == ["--list"]:
        return _list()
    if "--new-card" in words:
        return _new_card([word for word in words if word != "--new-card"])
    data = _data(words)

    # imported last: torch takes seconds to import
    from rich.console import Console

    from mtsearch.commands.progress import showing
    from mtsearch.data import check_sources, prepare, resolve
    from mtsearch.data.holding import held_bytes
    from mtsearch.data.store import DATA, read_manifest, verify

    found = resolve(data)
    check_sources(found)
    print(f"data      {found.label}")
    if found.checksum is None:
        print(f"building  from {found.root}", flush=True)
    with showing(Console(stderr=True), "prepared") as progress:
        path = prepare(data, progress)
    manifest = read_manifest(path)
    if found.checksum is not None:  # a new store was verified when it was built
        verify(path, manifest)
    for source in manifest["sources"].values():
        order = "" if source["official_order"] else ", in the card's seeded order"
        print(
            f"source    {source['title']}: {_where(found.root, source['place'])}"
            f" ({source['format']}{order})"
        )
        for row in source.get("left_out", ()):  # older stores have no such list
            show(f"left out  {row['count']:,} {row['text']}, as {row['example']}")
    for row in manifest.get("remarks", ()):
        show(f"remark    {row['count']:,} {row['text']}, as {row['example']}")
    arrays = manifest.get("inputs") is not None
    print(
        f"{'examples ' if arrays else 'images   '}"
        f" {', '.join(f'{count:,} {split}' for split, count in manifest['counts'].items())}"
    )
    for line in _label_lines(
        found.card, manifest.get("labels", {}), "examples" if arrays else "images"
    ):
        show(line)
    if arrays:
        for line in _input_lines(manifest):
            show(line)
    else:
        print(
            f"pixels    mean {manifest['statistics']['mean']}, std {manifest['statistics']['std']}"
            " (training images, of 0..1)"
        )
    how = "image files, decoded for each batch" if manifest.get("encoded") else "decoded images"
    how = "arrays of float32" if arrays else how
    size = (path / DATA).stat().st_size / 1e6
    print(f"format    {how}, {size:,.0f} MB; {held_bytes(manifest) / 1e6:,.0f} MB in memory")
    print(f"licence   {manifest['licence']}")
    print(f"checksum  {manifest['checksum']}")
    print(f"store: {path}")
    return 0


def _new_card(words: list[str]) -> int:
    from mtsearch.commands.init import data_path, new_card

    file, draft = new_card(*data_path(words, "prepare --new-card"))
    for note in draft.notes:
        show(f"found     {note}")
    show(f"card      {file}")
    return 0


def _input_lines(manifest: dict[str, Any]) -> list[str]:
    """What the inputs are, with the mean and the standard deviation of the first ones."""
    from mtsearch.data.array_inputs import ArrayInputs

    inputs, found = ArrayInputs.from_dict(manifest["inputs"]), manifest["statistics"]
    shape = " x ".join(map(str, inputs.shape))
    names = inputs.features or tuple(f"channel {n}" for n in range(len(found["mean"])))
    lines = [f"inputs    {shape} numbers, standardised by the training examples"]
    for name, mean, std in list(zip(names, found["mean"], found["std"], strict=True))[:SHOWN]:
        lines.append(f"  input   {name}: mean {mean:.4g}, std {std:.4g}")
    more = len(names) - SHOWN
    return [*lines, f"  input   and {more:,} more"] if more > 0 else lines


def _label_lines(card: DatasetCard, labels: dict[str, Any], images: str) -> list[str]:
    """A line for each task, its labels by split, and one for each of its classes."""
    lines = []
    for task in card.tasks:
        if task.name not in labels:  # older stores hold no counts
            continue
        splits = labels[task.name].values()
        totals = [split["labels"] + split["missing"] for split in splits]
        missing = [100 * s["missing"] / max(1, n) for s, n in zip(splits, totals, strict=True)]
        shares = ", ".join(
            f"{name} {share:.1f} %" for name, share in zip(labels[task.name], missing, strict=True)
        )
        lines.append(f"task      {task.name} ({task.kind}): missing labels {shares}")
        unit = "pixels" if task.kind == "segmentation" else images
        for number, counts in enumerate(zip(*(s.get("classes", ()) for s in splits), strict=True)):
            name = task.classes[number] if number < len(task.classes) else str(number)
            by_split = ", ".join(
                f"{count:,} {split}" for split, count in zip(labels[task.name], counts, strict=True)
            )
            lines.append(f"  class   {name}: {by_split} {unit}")
    return lines


def _where(root: Path, place: str) -> str:
    path = (root / place).resolve()
    return str(path) if path.exists() else f"{place}, which is not in {root}"


def _data(words: Sequence[str]) -> DataConfig:
    own, rest = split_pairs(words, ("dataset", "plugins"))
    load_plugins(parse_plugins(own["plugins"]) if "plugins" in own else ())
    pairs = [f"data.dataset={own['dataset']}"] if "dataset" in own else []
    for pair in rest:
        key = pair.partition("=")[0]
        if not key.startswith("data.") or key.removeprefix("data.") not in KEYS:
            raise BadInput(
                f"unknown key `{key}`."
                f" {nearest(key, ['plugins', *(f'data.{name}' for name in KEYS)])}"
            )
        pairs.append(pair)
    block: dict[str, Any] = {}
    for pair in pairs:
        block |= parse_override(pair)["data"]
    if "dataset" not in block:
        raise BadInput(
            "`dataset` is missing. Write, for example, `python -m mtsearch.prepare"
            " dataset=multimnist data.root=DIR`."
        )
    return validate_tree(DataConfig, block, "data")  # type: ignore[no-any-return]


def _list() -> int:
    from mtsearch.data import list_cards

    rows = [("dataset", "images", "tasks", "what")]
    for name, card in list_cards().items():
        tasks = ", ".join(f"{task.name} ({task.outputs})" for task in card.tasks)
        rows.append((name, "x".join(map(str, card.shape)), tasks, card.title))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    show(
        "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
