"""Write the tables, the picture and the page of a run: ``mtsearch report run=RUN``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mtsearch.commands.base import run_command
from mtsearch.config.errors import BadInput, nearest
from mtsearch.config.overrides import split_pairs
from mtsearch.config.plugins import is_file, parse_plugins
from mtsearch.config.text import printable

if TYPE_CHECKING:
    from mtsearch.pareto import SearchResult
    from mtsearch.runs.directory import RunDirectory

USAGE = """mtsearch report run=RUN [format=html|md|csv|png|parquet] [reference=DIR]
    [plugins=[FILE.py]]
mtsearch report run=A run=B [run=C ...] [out=FILE]    compare runs in one page

Writes trials.parquet, history.parquet, front.parquet, front.csv, front.md, front.png and
report.html (one page that opens without a network) from the events of the run directory RUN. It
may run beside a search.
  format      only the files with this ending
  reference   also write README.md, config.yaml, front.csv, trials.csv and front.png to the folder
              DIR, without paths of this machine
  plugins     where the run's plug-ins are now, if they have moved
  out         the page of a comparison (default comparison.html): the fronts, the hypervolumes under
              one reference point, and the rows that the runs have in common"""

KEYS = ("run", "format", "reference", "plugins", "out")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 1 the report could not be written, 2 bad
    input, 130 interrupted."""
    return run_command(
        "report", USAGE, _report, arguments, {OSError: "the report could not be written: {error}"}
    )


def write(run: RunDirectory, formats: Sequence[str] | None = None) -> SearchResult:
    """Write a run's tables, picture and page, or only the given formats; returns the result."""
    from mtsearch.reporting.publish import FORMATS, publish

    space = run.space
    rows, history = run.rows(), run.history()
    return publish(
        run.path,
        rows,
        history,
        space.config,
        run.environment,
        configuration=space.to_yaml(),
        formats=formats or FORMATS,
        address=run.address,
        timeline=run.timeline(),
        ended=run.state().stop,
    )


def _keep(run: RunDirectory, result: SearchResult, folder: str) -> None:
    """Write the reference result, without the folders of this machine: the data root is DATA."""
    from mtsearch.config.reading import list_spaces, load_space
    from mtsearch.config.yaml_text import dump_yaml
    from mtsearch.reporting.reference import write_reference
    from mtsearch.runs.commands import strip_local_paths

    record, raw = run.state(), dict(run.space.raw)
    raw.pop("results", None)
    raw.pop("monitor", None)
    rooted = bool(raw["data"].get("root"))
    raw["data"].pop("store", None)
    raw["data"] = {
        **raw["data"],
        "dataset": Path(raw["data"]["dataset"]).name,
        **({"root": "DATA"} if rooted else {}),
    }
    if raw.get("plugins"):
        raw["plugins"] = [Path(entry).name if is_file(entry) else entry for entry in raw["plugins"]]
    changed = tuple(f"{key}=" for key in record.changes)
    kept = [
        pair
        for pair in record.overrides
        if not pair.startswith(("data.root=", "data.store=", "results.", "monitor", *changed))
    ]
    words = [
        *strip_local_paths([f"space={record.space}"]),
        *([f"profile={record.profile}"] if record.profile else []),
        *(["data.root=DATA"] if rooted else []),
    ]
    words += map(
        shlex.quote,
        strip_local_paths([*kept, *(f"{key}={value}" for key, value in record.changes.items())]),
    )
    command = "python -m mtsearch.run " + " ".join(words)
    for row in result.rows:
        row["command"] = shlex.join(strip_local_paths(shlex.split(row["command"])))
    config = run.config
    if not config.notes and record.space in list_spaces():  # an older run has no notes
        config = config.model_copy(update={"notes": load_space(record.space).config.notes})
    write_reference(
        folder, result, config, run.environment, configuration=dump_yaml(raw), command=command
    )


def _report(words: list[str]) -> int:
    addresses = [word.removeprefix("run=") for word in words if word.startswith("run=")]
    if len(addresses) > 1:
        return _compare(addresses, [word for word in words if not word.startswith("run=")])
    own, rest = split_pairs(words, KEYS)
    if rest:
        raise BadInput(
            f"`{rest[0]}` is not a key of the report. {nearest(rest[0].split('=')[0], KEYS)}"
        )
    if "run" not in own:
        raise BadInput(
            "`run` is missing. Write, for example, `python -m mtsearch.report"
            " run=results/pareto_cm/20260101-120000`."
        )

    if "out" in own:
        raise BadInput(
            "`out` is for a comparison of several runs. Give `run` twice, or leave it out."
        )

    from mtsearch.reporting.publish import FORMATS
    from mtsearch.reporting.terminal import print_front
    from mtsearch.runs.opening import open_run

    chosen = own.get("format")
    if chosen is not None and chosen not in FORMATS:
        raise BadInput(f"`format` is unknown: `{chosen}`. {nearest(chosen, FORMATS)}")
    run = open_run(own["run"], parse_plugins(own["plugins"]) if "plugins" in own else None)
    if "reference" in own:
        try:
            Path(own["reference"]).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(
                f"`reference` is not a folder that can be written to: {own['reference']}"
                f" ({error.strerror}). Give another one."
            ) from None
    result = write(run, [chosen] if chosen else None)
    problem = run.storage.flush()
    if problem is not None:
        raise BadInput(problem)
    if "reference" in own:
        _keep(run, result, own["reference"])
    print_front(result)
    print(f"run: {run.address}")
    return 0


def _compare(addresses: list[str], words: list[str]) -> int:
    """Write the page of several runs and print its first table."""
    own, rest = split_pairs(words, ("out", "plugins"))
    if rest:
        key = rest[0].partition("=")[0]
        raise BadInput(
            f"`{key}` is no key of a comparison of runs. Leave it out; `out` and `plugins` are."
        )

    from rich.console import Console
    from rich.table import Table

    from mtsearch.pareto import search_result
    from mtsearch.reporting.comparison import ComparedRun, write_comparison
    from mtsearch.runs.opening import open_run

    plugins = parse_plugins(own["plugins"]) if "plugins" in own else None
    _refuse_repeated(addresses)
    runs = []
    for address in addresses:
        run = open_run(address, plugins)
        config = run.space.config
        result = search_result(
            run.rows(),
            run.history(),
            config.objectives,
            config.constraints,
            control=config.delta_m,
            kinds=run.environment.get("tasks"),
        )
        facts = (run.address, result, run.space.to_yaml(), run.environment)
        runs.append(ComparedRun(config.name, *facts))
    out = Path(own.get("out", "comparison.html"))
    heads, *rows = write_comparison(out, runs)
    table = Table(*heads)
    for row in rows:
        table.add_row(*row)
    console = Console()
    (console if console.is_terminal else Console(width=200)).print(table)
    print(f"page: {out}")
    return 0


def _refuse_repeated(addresses: Sequence[str]) -> None:
    """Raise BadInput where two addresses are the same run, in whatever spelling."""
    seen: dict[str, str] = {}
    for address in addresses:
        place = address.rstrip("/") if "://" in address else str(Path(address).resolve())
        if place in seen:
            same = "" if seen[place] == address else f", once as {printable(seen[place])}"
            raise BadInput(
                f"`run` names the same run twice: {printable(address)}{same}. Give each run once,"
                " or one run alone for its own page."
            )
        seen[place] = address


if __name__ == "__main__":
    sys.exit(main())
