"""Begin with data of one's own: ``mtsearch init PATH`` writes a data card and a space."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mtsearch.commands.base import run_command, show
from mtsearch.config.errors import BadInput, nearest
from mtsearch.config.files import write_atomic
from mtsearch.config.overrides import split_pairs
from mtsearch.config.yaml_text import dump_yaml

if TYPE_CHECKING:
    from mtsearch.config.cards import DatasetCard
    from mtsearch.data.drafting import Draft

USAGE = """mtsearch init PATH [to=DIR] [tasks=[COLUMN,...]]

Writes a data card, DIR/NAME.yaml, and a space, DIR/NAME_space.yaml, for the data at PATH, and
estimates the time of a search. Both files are meant to be read and edited; none is overwritten.
  PATH   a CSV with a row per image and a column per task, or a folder or an archive that contains
         one, or images in folders of classes; or a table without images (.csv, .parquet)
  to     where the files are written; default the working folder
  tasks  the columns of the labels of a table without images; the others are inputs (default: the
         columns target, label, class or y, with a number or without, else the last column)

The kind and the classes of each task, the splits and the size of the images are found in the data;
what each column was taken for is printed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 1 a file could not be written, 2 bad
    input."""
    failures: dict[type[Exception], str] = {OSError: "a file could not be written: {error}"}
    return run_command("init", USAGE, _init, arguments, failures)


def _init(words: list[str]) -> int:
    from mtsearch.config.starting import starting_space
    from mtsearch.data.cards import load_card

    card_file, draft = new_card(*data_path(words, "init"), also="_space.yaml")
    card = load_card(card_file)
    if draft.shape is not None:
        card = card.model_copy(update={"shape": draft.shape})
    space_file = card_file.with_name(f"{card_file.stem}_space.yaml")
    tree = starting_space(card, card_file.name)
    write_atomic(space_file, dump_yaml(tree))
    for note in draft.notes:
        show(f"found     {note}")
    show(f"card      {card_file}")
    show(f"space     {space_file}")
    show(f"time      {_estimate(space_file, card, draft.images)}")
    show(f"next      mtsearch prepare dataset={_shown(card_file)}")
    show(f"          mtsearch run space={_shown(space_file)}")
    return 0


def data_path(words: Sequence[str], command: str) -> tuple[Path, Path, tuple[str, ...]]:
    """The path of the data, the folder of new files, and the columns of labels that the words of a
    command give."""
    paths = [word for word in words if "=" not in word and not word.startswith("-")]
    own, rest = split_pairs([word for word in words if word not in paths], ("to", "tasks"))
    if rest:
        raise BadInput(f"unknown key `{rest[0].partition('=')[0]}`. {nearest('', ['to', 'tasks'])}")
    if len(paths) != 1:
        raise BadInput(
            f"`{command}` takes the path of one table, folder or archive. Found"
            f" {', '.join(paths) or 'none'}."
        )
    listed = own.get("tasks", "").strip()
    listed = listed[1:-1] if listed[:1] + listed[-1:] == "[]" else listed
    tasks = tuple(name for part in listed.split(",") if (name := part.strip().strip("\"'")))
    return Path(paths[0]), Path(own.get("to", ".")).expanduser(), tasks


def new_card(path: Path, to: Path, tasks: Sequence[str] = (), also: str = "") -> tuple[Path, Draft]:
    """Write the card of the data at a path.

    Args:
        path: a table, a folder or an archive.
        to: the folder of the card.
        tasks: the columns of the labels of a table without images.
        also: the end of the name of another file that must not exist.

    Returns:
        The card's file, and its draft.

    Raises:
        BadInput: the data cannot be described, or a file exists.
    """
    from mtsearch.data.drafting import draft_card

    draft = draft_card(path, tasks)
    file = to / f"{draft.card['name']}.yaml"
    for name in (file, *([file.with_name(f"{file.stem}{also}")] if also else [])):
        if name.exists():
            raise BadInput(f"{name} exists; remove it, or give another folder as `to=DIR`.")
    to.mkdir(parents=True, exist_ok=True)
    write_atomic(file, dump_yaml(draft.card))
    return file, draft


def _shown(path: Path) -> str:
    return os.path.relpath(path)


def _estimate(space_file: Path, card: DatasetCard, count: int) -> str:
    """The time of a search with one slot, by a measured step of the default configuration,
    if about two thirds of the images are trained on."""
    import torch

    from mtsearch.config.reading import load_space
    from mtsearch.models import build_model

    space = load_space(str(space_file))
    config = space.trial()
    images = max(1, round(0.64 * count))
    size = min(images, int(config.batch_size)) if isinstance(config.batch_size, int) else images
    torch.set_num_threads(config.threads or 1)
    model = build_model(config.architecture, config.backbone, card.tasks, card.shape)
    batch = torch.zeros(max(2, size), *card.shape)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        sum(output.float().square().mean() for output in model(batch).values()).backward()
        seconds.append(time.perf_counter() - start)
    epochs = space.config.search.trials * (config.epochs.search + config.epochs.retrain)
    total = min(seconds) * epochs * -(-images // size)
    return (
        f"about {_duration(total)} of training for {space.config.search.trials} trials on one core,"
        f" about {images:,} training examples"
    )


def _duration(seconds: float) -> str:
    for unit, length in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(1, round(seconds))} s"


if __name__ == "__main__":
    sys.exit(main())
