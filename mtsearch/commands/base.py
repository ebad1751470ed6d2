"""What all commands have in common: help, one sentence for what went wrong, exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence

from mtsearch.config.errors import BadInput


def run_command(
    name: str,
    usage: str,
    work: Callable[[list[str]], int],
    arguments: Sequence[str] | None,
    failures: Mapping[type[Exception], str],
    interrupted: str = "start it again.",
) -> int:
    """Do a command's work. Returns its exit code: that of `work` (0 done), 1 failed, 2 bad input,
    130 interrupted.

    Args:
        name: of the door, as in ``python -m mtsearch.<name>``.
        usage: its help.
        work: takes the words of the command line.
        arguments: those words; None takes the process's own.
        failures: which exceptions are a failure, and the sentence for each, with ``{error}`` where
            its text belongs.
        interrupted: what follows `interrupted` after Ctrl-C.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or "--help" in words or "-h" in words:
        show(usage)
        return 0 if words else 2
    try:
        return work(words)
    except BadInput as error:
        code, sentence = 2, str(error)
    except tuple(failures) as error:
        code, sentence = (
            1,
            next(text for kind, text in failures.items() if isinstance(error, kind)).replace(
                "{error}", str(error)
            ),
        )
    except KeyboardInterrupt:
        code, sentence = 130, f"interrupted; {interrupted}"
    print(f"mtsearch.{name}: {sentence}", file=sys.stderr)
    return code


def show(page: str) -> None:
    """Print a page. Where its reader has gone, as ``head`` has when it has seen enough, the rest is
    dropped."""
    try:
        print(page)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # Python flushes once more at its end
