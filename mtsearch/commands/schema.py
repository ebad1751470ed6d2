"""Print the JSON schema of spaces: ``mtsearch schema > space.schema.json``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from mtsearch.commands.base import run_command, show
from mtsearch.config.errors import BadInput, nearest
from mtsearch.config.json_schema import space_schema
from mtsearch.config.overrides import split_pairs
from mtsearch.config.plugins import load_plugins, parse_plugins

USAGE = """mtsearch schema [plugins=[FILE.py]]

Prints the JSON schema of spaces, by which an editor completes keys and marks mistakes. Write it to
a file and name that in the first line of a space:
  # yaml-language-server: $schema=space.schema.json

  plugins   [FILE.py, module]: adds the methods that these register"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 2 bad input."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    return run_command("schema", USAGE, _schema, words or ["plugins=[]"], {})


def _schema(words: list[str]) -> int:
    own, rest = split_pairs(words, ("plugins",))
    if rest:
        key = rest[0].partition("=")[0]
        raise BadInput(f"`{key}` is not a key of the schema. {nearest(key, ('plugins',))}")
    load_plugins(parse_plugins(own["plugins"]) if own else ())
    show(json.dumps(space_schema(), indent=1, ensure_ascii=False))
    return 0
