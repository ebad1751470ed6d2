"""The console of long-running commands and lines that break between words."""

from __future__ import annotations

import os
import sys
import textwrap

from rich.console import Console


class OutputConsole(Console):
    """A console on standard output, which may be closed.

    Where standard output is a closed pipe, as in ``python -m mtsearch.run ... | head -n 4``, the
    rest of the output is dropped and the command continues. A console of rich ends the process.
    """

    def on_broken_pipe(self) -> None:
        """Send standard output to the null device."""
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


INDENT = 11  # columns of the names in the block at a search's start


def print_line(console: Console, line: str, indent: int = 0) -> None:
    """Print a line as it stands; a terminal that is too narrow gets it broken between words, with
    the following lines indented. Words longer than the line stay whole."""
    if console.is_terminal and len(line) > console.width:
        line = textwrap.fill(
            line,
            console.width,
            subsequent_indent=" " * indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
    console.print(line, highlight=False, markup=False, soft_wrap=True)
