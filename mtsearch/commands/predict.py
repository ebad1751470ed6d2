"""Predict image files or rows of a table: ``mtsearch predict run=RUN|model=EXPORT images=PATH``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mtsearch.commands.base import printable, run_command
from mtsearch.config.errors import BadInput, nearest
from mtsearch.config.overrides import split_pairs
from mtsearch.config.plugins import load_plugins, parse_plugins

if TYPE_CHECKING:
    import torch

    from mtsearch.deploy.exported import Deployed

USAGE = """mtsearch predict run=RUN [pick=PICK] [of=TASK] images=PATH|table=FILE [to=TABLE]
    [batch=64] [device=cpu|cuda] [column=NAME] [data.root=DIR] [data.store=DIR]
    [plugins=[FILE.py]]
mtsearch predict model=DIR images=PATH|table=FILE [to=TABLE] [batch=64] [device=cpu|cuda]
    [column=NAME]

Predicts every task for images or the rows of a table, with a trial of a run or with an export, and
writes a table with a row for each: its path or number, class names and probabilities, values, and
the files of masks.
  run, pick, of
            the trial, as in `mtsearch export --help`
  model     a folder that `mtsearch export` wrote; neither the run nor its data are needed
  images    an image file; a folder, with all images in it and in its folders; a text file (.txt)
            with a path a line; or a table (.csv, .tsv, .parquet) with a column of paths, relative
            to the table
  table     for a network on columns, a .csv, .tsv or .parquet with these columns; labels are not
            needed
  column    that column (default: the only one, or path, image, file, filename)
  to        the table to write, .csv, .jsonl or .parquet (default predictions.csv); it appears
            whole or not at all. Masks are PNG files of class numbers in TABLE_masks beside it
  batch     images per batch of the network
  device    where the network computes (default: a GPU if there is one)
  data.root, data.store, plugins
            where the data and the plug-ins of the run are now, if they have moved
An example that cannot be read has a row with the reason in the column `error`. Then the exit code
is 0 as long as one could be read."""

KEYS = (
    *("run", "pick", "of", "model", "images", "table", "to", "batch", "device", "column"),
    *("data.root", "data.store", "plugins"),
)
_OF_RUNS = ("pick", "of", "data.root", "data.store")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 1 no image could be predicted, 2 bad input,
    130 interrupted."""
    failures = dict.fromkeys((RuntimeError, OSError), "no prediction was written: {error}")
    return run_command(
        "predict", USAGE, _predict, arguments, failures, "no prediction was written."
    )


def _predict(words: list[str]) -> int:
    own, rest = split_pairs(words, KEYS)
    if rest:
        key = rest[0].partition("=")[0]
        raise BadInput(f"`{key}` is not a key of predict. {nearest(key, KEYS)}")
    if ("run" in own) == ("model" in own):
        raise BadInput(
            "`run` or `model` should be given, one of them. Write, for example, `mtsearch predict"
            " model=export/0003 images=FOLDER`."
        )
    if ("images" in own) == ("table" in own):
        raise BadInput(
            "`images` or `table` should be given, one of them. Give a file or folder, for example"
            " `images=photos`, or, for a network on columns, `table=new.csv`."
        )
    if "table" in own and "column" in own:
        raise BadInput("`column` goes with `images` and not with `table`. Leave it out.")
    for key in _OF_RUNS:
        if "model" in own and key in own:
            raise BadInput(f"`{key}` goes with `run` and not with `model`. Leave it out.")
    batch = _whole(own.get("batch", "64"))

    from rich.console import Console

    from mtsearch.commands.progress import showing
    from mtsearch.data.columns import read_columns
    from mtsearch.deploy.examples import Examples, ImageFiles, TableRows, need_arrays, need_images
    from mtsearch.deploy.image_lists import image_files
    from mtsearch.deploy.prediction_table import ENDINGS, predict_table

    source, to = Path(own.get("images") or own["table"]), Path(own.get("to", "predictions.csv"))
    if to.suffix.lower() not in ENDINGS:
        raise BadInput(f"`to` should end in {', '.join(ENDINGS)}. Found {to}.")
    if to.exists() and source.exists() and to.samefile(source):
        raise BadInput(f"`to` should be another file than what is read. Found {to} for both.")
    if "table" in own and not source.is_file():
        raise BadInput(f"`table` should be a file. Found nothing at {source}; correct the path.")
    device = _device(own.get("device"))
    network = _export(own, device) if "model" in own else _trial(own, device)
    examples: Examples
    if "images" in own:
        steps = need_images(network.preprocessing)
        examples = ImageFiles(image_files(source, own.get("column")), steps)
    else:
        inputs = need_arrays(network.preprocessing)
        examples = TableRows(read_columns(source, str(source)), inputs)
    if not getattr(network.preprocessing, "exact", True):
        print("note    the sets of this dataset were scaled in different ways; here: bilinear")
    with showing(Console(stderr=True), "predict") as progress:
        done = predict_table(network, examples, to, batch, progress)
    counts = f"{done.images - done.failed:,} of {done.images:,} predicted"
    print(
        f"{'images ' if 'images' in own else 'rows   '} {counts}"
        + (f"; {printable(done.reason)}" if done.failed else "")
    )
    if done.files is not None:
        print(f"masks   {done.files}")
    print(f"table: {done.table}")
    return int(done.failed == done.images)


def _export(own: dict[str, str], device: torch.device) -> Deployed:
    from mtsearch.deploy.exported import open_export

    load_plugins(parse_plugins(own["plugins"]) if "plugins" in own else ())
    return open_export(Path(own["model"]), device)


def _trial(own: dict[str, str], device: torch.device) -> Deployed:
    from mtsearch.deploy.exported import Deployed
    from mtsearch.jobs.run import Run
    from mtsearch.runs.opening import open_run

    run = open_run(own["run"], parse_plugins(own["plugins"]) if "plugins" in own else None)
    places = {k.removeprefix("data."): v for k, v in own.items() if k.startswith("data.")}
    picked = Run(run).pick(own.get("pick", "auto"), of=own.get("of"))
    predictor = picked.load(places).to(device)
    if predictor.preprocessing is None:
        raise BadInput(
            f"trial {picked.name} reads numbers of shape {predictor.shape}, not image files."
            " Predict from Python, with `mtsearch.load_run(RUN).pick().load().predict(x)`."
        )
    print(f"trial   {picked.name} ({picked.how})")
    return Deployed(predictor, predictor.tasks, predictor.preprocessing, device)


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 2**20):
        raise BadInput(f"`batch` should be a whole number from 1 to 1048576. Found {text}.")
    return int(text)


def _device(name: str | None) -> torch.device:
    import torch

    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type == "cpu":
        return torch.device("cpu")
    if device.type == "cuda" and (device.index or 0) < torch.cuda.device_count():
        return device
    known = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    raise BadInput(f"`device` should be one of {', '.join(known)}. Found {name}.")


if __name__ == "__main__":
    sys.exit(main())
