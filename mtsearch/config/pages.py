"""Pages of text on standard output."""

from __future__ import annotations

import os
import sys


def show(page: str) -> None:
    """Print a page. Where its reader has gone, as ``head`` has when it has seen enough, the rest is dropped."""
    try:
        print(page)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
