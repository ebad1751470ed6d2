"""Manage runs: ``mtsearch runs list|compare|watch|stop|delete|archive``."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mtsearch.commands.base import printable, run_command, show
from mtsearch.config.errors import BadInput, nearest
from mtsearch.config.overrides import split_pairs

if TYPE_CHECKING:
    from rich.table import Table

USAGE = """mtsearch runs list [root=results]
mtsearch runs compare run=RUN run=RUN [run=RUN ...]
mtsearch runs watch run=RUN
mtsearch runs stop run=RUN [wait=60]
mtsearch runs delete run=RUN [run=RUN ...] --yes
mtsearch runs archive run=RUN [to=FILE.tar] --yes

  list      the runs below a folder or URL: state, trials, front, hypervolume, age, size on disk
  compare   the hypervolumes and fronts of several runs with the same objectives. Objectives are
            scaled so that 0 is the best and 1 the worst value on any of the fronts; the reference
            point is 1.1 in each, and 1 is the largest hypervolume
  watch     the events of a run as they are written, until its driver ends
  stop      end the driver of a run on this machine as Ctrl-C does: running trials stop, everything
            finished is kept. Waits up to `wait` seconds and prints the command that continues
  delete    delete run directories, also what they contain under export/
  archive   write a run as a tar file (default RUN.tar), read it back, and delete the run;
            `tar xf` restores it
`list`, `compare` and `watch` accept URLs. `delete` and `archive` need --yes, refuse runs that are
driven, and follow no links."""

ACTIONS: Mapping[str, tuple[str, ...]] = {
    "list": ("root",),
    "compare": ("run",),
    "watch": ("run",),
    "stop": ("run", "wait"),
    "delete": ("run",),
    "archive": ("run", "to"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 1 failed, 2 bad input, 130 interrupted."""
    failures: dict[type[Exception], str] = {OSError: "not done: {error}"}
    words = sys.argv[1:] if arguments is None else list(arguments)
    return run_command("runs", USAGE, _runs, words, failures, "the run goes on.")


def _runs(words: list[str]) -> int:
    action, *rest = words
    if action not in ACTIONS:
        raise BadInput(f"`{action}` is not an action of runs. {nearest(action, ACTIONS)}")
    yes = "--yes" in rest
    rest = [word for word in rest if word != "--yes"]
    addresses = [word.removeprefix("run=") for word in rest if word.startswith("run=")]
    own, unknown = split_pairs([w for w in rest if not w.startswith("run=")], ACTIONS[action])
    if unknown:
        key = unknown[0].partition("=")[0]
        raise BadInput(f"`{key}` is not a key of `{action}`. {nearest(key, ACTIONS[action])}")
    if yes and action not in ("delete", "archive"):
        raise BadInput(f"`--yes` does not go with `{action}`. Leave it out.")
    if "run" not in ACTIONS[action]:
        if addresses:
            raise BadInput("`run` does not go with `list`. Give `root`, or use `compare`.")
        return _list(own.get("root", "results"))
    if not all(addresses) or not addresses:
        raise BadInput(f"`run` is missing. Write `mtsearch runs {action} run=RUN`.")
    if action == "compare":
        return _compare(addresses)
    if action == "delete":
        return _delete([_folder(address) for address in addresses], yes)
    if len(addresses) > 1:
        raise BadInput(f"`{action}` takes one `run`. Found {len(addresses)}.")
    if action == "watch":
        return _watch(addresses[0])
    if action == "stop":
        return _stop(_folder(addresses[0]), own.get("wait", "60"))
    return _archive(_folder(addresses[0]), own.get("to"), yes)


def _folder(address: str) -> Path:
    from mtsearch.runs.object_store import is_url

    if is_url(address):
        raise BadInput(f"`run` should be a folder for this action. Found the URL {address}.")
    return Path(address)


# ------------------------------------------------------------ the actions


def _list(root: str) -> int:
    from mtsearch.commands.run_tables import find_runs, listing

    found = find_runs(root)
    if not found:
        show(f"no runs below {printable(root)}")
        return 0
    _print(listing(found))
    return 0


def _compare(addresses: Sequence[str]) -> int:
    from mtsearch.commands.run_tables import comparison

    if len(addresses) < 2:
        raise BadInput("`run` should be given twice or more. Name the runs to compare.")
    for table in comparison(addresses):
        _print(table)
    return 0


def _print(table: Table) -> None:
    from rich.console import Console

    console = Console()
    (console if console.is_terminal else Console(width=1000)).print(table)


def _watch(address: str) -> int:
    from mtsearch.runs.following import follow

    for line in follow(address):
        show(printable(line))
    show(f"run: {printable(address)}")
    return 0


def _stop(path: Path, wait: str) -> int:
    from mtsearch.runs.managing import is_driven, is_run, stop_driver

    if not (wait.isascii() and wait.isdigit()):
        raise BadInput(f"`wait` should be a whole number of seconds. Found {wait}.")
    if not is_run(path):
        raise BadInput(f"{path} is not a run directory. `mtsearch runs list` names runs.")
    process = stop_driver(path)
    end = time.monotonic() + int(wait)
    while (driven := is_driven(path)) and time.monotonic() < end:
        time.sleep(0.2)
    show(f"process {process} {'has got the signal and is finishing' if driven else 'has stopped'}")
    show(f"continue with: mtsearch run resume={shlex.quote(str(path))}")
    return int(driven)


def _delete(paths: Sequence[Path], yes: bool) -> int:
    from mtsearch.runs.managing import delete, disk, owned

    for path in paths:  # all are checked before one is deleted
        with owned(path):
            size = disk(path)
        if not yes:
            raise BadInput(
                f"`--yes` is missing: {path} ({size / 1e6:,.1f} MB) would be deleted. Add `--yes`."
            )
    for path in dict.fromkeys(path.resolve() for path in paths):
        delete(path)
        show(f"deleted {printable(str(path))}")
    return 0


def _archive(path: Path, to: str | None, yes: bool) -> int:
    from mtsearch.runs.managing import archive, owned

    file = Path(to) if to else path.absolute().with_name(f"{path.absolute().name}.tar")
    if not yes:
        with owned(path):
            pass
        raise BadInput(
            f"`--yes` is missing: {path} would be deleted once {file} is written. Add `--yes`."
        )
    archive(path.absolute(), file)
    show(f"archive: {printable(str(file))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
