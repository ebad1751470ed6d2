"""What all commands share: help, `--log-level`, error sentences and exit codes."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence

from mtsearch.config.errors import BadInput, nearest

LEVELS = ("debug", "info", "warning", "error")
COMMON = """
--log-level LEVEL   debug, info, warning (default) or error: the log messages that go to stderr
--help              this text
Exit codes: 0 done, 1 failed, 2 bad input, 130 interrupted."""


def run_command(
    name: str,
    usage: str,
    work: Callable[[list[str]], int],
    arguments: Sequence[str] | None,
    failures: Mapping[type[Exception], str],
    interrupted: str = "start it again.",
) -> int:
    """Run a command and return its exit code: that of `work` (0 is done), 1 for a failure, 2 for
    bad input, 130 after Ctrl-C.

    Args:
        name: of the command, as in ``mtsearch <name>``.
        usage: its help.
        work: takes the words of the command line, without `--log-level`.
        arguments: those words; None takes the process's own.
        failures: the exceptions that mean a failure, each with its sentence, in which ``{error}``
            stands for the exception's text.
        interrupted: the sentence after ``interrupted;``.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or "--help" in words or "-h" in words:
        show(usage + "\n" + COMMON)
        return 0 if words else 2
    try:
        if not (words := _set_log_level(words)):
            show(usage + "\n" + COMMON)
            return 2
        return work(words)
    except BadInput as error:
        code, sentence = 2, str(error)
    except tuple(failures) as error:
        text = next(text for kind, text in failures.items() if isinstance(error, kind))
        code, sentence = 1, text.replace("{error}", str(error))
    except KeyboardInterrupt:
        code, sentence = 130, f"interrupted; {interrupted}"
    print(f"mtsearch.{name}: {printable(sentence)}", file=sys.stderr)
    return code


def printable(text: str) -> str:
    """A text on one line, in which control characters and half surrogates are escaped."""
    text = " ".join(text.split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def show(page: str) -> None:
    """Print a page. Where the reader has closed the pipe, as ``head`` does, drop the rest."""
    try:
        print(page)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes stdout once more at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _set_log_level(words: Sequence[str]) -> list[str]:
    """Configure logging by `--log-level LEVEL` or `--log-level=LEVEL`, and return the other
    words."""
    level, rest, remaining = "warning", list[str](), iter(words)
    for word in remaining:
        flag, sign, value = word.partition("=")
        if flag != "--log-level":
            rest.append(word)
            continue
        level = (value if sign else next(remaining, "")).lower()
        if level not in LEVELS:
            raise BadInput(
                f"`--log-level` should be one of {', '.join(LEVELS)}. Found {level or 'none'}."
                f" {nearest(level, LEVELS)}"
            )
    if not logging.getLogger().handlers:
        logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("mtsearch").setLevel(level.upper())
    return rest
