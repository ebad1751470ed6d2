"""The console of long-running commands."""

from __future__ import annotations

import os
import sys

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
