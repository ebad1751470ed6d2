"""The program ``mtsearch``: its first word names the command."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import mtsearch
from mtsearch.commands.base import printable, show
from mtsearch.config.errors import nearest

COMMANDS = {
    "init": "write a data card and a space for data of your own",
    "run": "search a space, or continue a run",
    "train": "train one configuration of a space",
    "prepare": "build the store of a dataset",
    "report": "write the tables, the picture and the page of a run",
    "export": "write a trained model of a run as files that torch alone loads",
    "predict": "predict image files with a trial of a run or with an export",
    "runs": "list, compare, watch, stop, delete or archive runs",
    "schema": "print the JSON schema of spaces, for editors",
    "completion": "print the completion script of a shell",
}

USAGE = "\n".join(
    [
        "mtsearch COMMAND [key=value ...]",
        "",
        *(f"  {name:<11}{text}" for name, text in COMMANDS.items()),
        "",
        "`mtsearch COMMAND --help` describes a command; `mtsearch run --list` lists the spaces,",
        "datasets and methods. `python -m mtsearch` is the same program, and `python -m",
        "mtsearch.run` the same as `mtsearch run`. --version prints the version.",
    ]
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the first word names; returns its exit code. Modules of other commands
    are not imported."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("--help", "-h"):
        show(USAGE)
        return 0 if words else 2
    if words[0] == "--version":
        show(f"mtsearch {mtsearch.__version__}")
        return 0
    if words[0] not in COMMANDS:
        found = printable(words[0])
        sentence = f"`{found}` is not a command. {nearest(found, COMMANDS)}"
        print(f"mtsearch: {sentence}", file=sys.stderr)
        return 2
    command = importlib.import_module(f"mtsearch.commands.{words[0]}")
    return int(command.main(words[1:]))
