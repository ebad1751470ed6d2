"""Search a space, or go on with a run: ``python -m mtsearch.run space=NAME key=value ...``,
``python -m mtsearch.run resume=RUN``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from mtsearch.commands.base import run_command, show
from mtsearch.config.errors import BadInput, Halt
from mtsearch.config.overrides import parse_value, split_pairs, text_kind
from mtsearch.config.plugins import load_plugins, parse_plugins
from mtsearch.config.reading import load_space

USAGE = """python -m mtsearch.run space=NAME|PATH [profile=NAME] [key=value ...]    search a space
python -m mtsearch.run resume=RUN [search.trials=N] [search.budget=SECONDS] [search.slots=N]
    go on with a run, or extend it; data.root=DIR, data.store=DIR and plugins=[FILE.py] say where its data and plug-ins are now

  --list      spaces, datasets and methods
  --cfg       every key of the space with its value (with space=NAME)
  --dry-run   slots, first configurations and cost, without training (with space=NAME)
  --or-resume go on with the run that results.run=NAME names, where it has begun (with space=NAME): for jobs that are started again

Any key of --cfg can be set, such as search.trials=50  search.slots=2  data.root=DIR  trial.optimizer.lr=0.001
(the last value counts where one is given twice)
plugins=[FILE.py, module] (methods of your own, also for --list)
'trial.optimizer.lr={loguniform: [0.0001, 0.01], default: 0.001}'.

One trial a CPU core runs at once, unless search.slots or resources.cpu say otherwise. Ctrl-C ends the search cleanly; what is finished
is kept, and resume=RUN goes on. The last line is the run directory, `run: PATH`; with results.root=s3://BUCKET/PREFIX, or another URL
that fsspec can write to, a run lives there, and RUN is its URL.
Exit codes: 0 done, 1 not all could be done, 2 bad input, 130 interrupted."""

FLAGS = ("--list", "--cfg", "--dry-run", "--or-resume")


def main(arguments: Sequence[str] | None = None) -> int:
    """The door; returns the exit code."""
    return run_command(
        "run",
        USAGE,
        _run,
        arguments,
        {Halt: "{error} Fix this, then resume again."},
        "everything finished is kept.",
    )


def _run(words: list[str]) -> int:
    pairs, flags = (
        [w for w in words if not w.startswith("-")],
        [w for w in words if w.startswith("-")],
    )
    for flag in flags:
        if flag not in FLAGS:
            raise BadInput(f"unknown option `{flag}`. Known here: {', '.join(FLAGS)}, --help.")
    alone = [flag for flag in FLAGS if flag in flags]
    if len(alone) > 1:
        raise BadInput(
            f"{' and '.join(f'`{flag}`' for flag in alone)} do not go together. Give one of them."
        )
    own, overrides = split_pairs(pairs, ("space", "profile", "resume"))
    if "--list" in flags:
        return _list(own, overrides)
    if "resume" in own:
        return _resume(own, overrides, flags)
    if "space" not in own:
        raise BadInput(
            "`space` is missing. Write, for example, `python -m mtsearch.run space=pareto_cm`;"
            " `--list` shows all."
        )
    space = load_space(own["space"], overrides, own.get("profile"))
    if "--cfg" in flags:
        from mtsearch.config.listing import resolved

        show(resolved(space).rstrip("\n"))
        return 0
    if "--dry-run" in flags:
        from mtsearch.execution.dry_run import dry_run

        show(dry_run(space))
        return 0
    if "--or-resume" in flags:
        from mtsearch.runs.directory import PLACES, RESUMABLE
        from mtsearch.runs.opening import named_run

        if (begun := named_run(space)) is not None:
            again = [pair for pair in overrides if pair.partition("=")[0] in (*RESUMABLE, *PLACES)]
            if space.config.plugins:  # which the user named by naming the space
                again = [pair for pair in again if not pair.startswith("plugins=")]
                again.append(f"plugins={json.dumps(list(space.config.plugins))}")
            return _resume({"resume": begun.address}, again, [])
    from mtsearch.execution.engine import (
        run,
    )  # Ray takes seconds to import: mistakes are answered before

    return run(space, name=own["space"], profile=own.get("profile"), overrides=tuple(overrides))


def _list(own: dict[str, str], overrides: list[str]) -> int:
    from mtsearch.config.listing import listing

    if "space" in own:
        load_space(own["space"], overrides, own.get("profile"))  # loads its plug-ins
    else:
        plugins, rest = split_pairs(overrides, ("plugins",))
        if rest:
            raise BadInput(
                f"`{rest[0].partition('=')[0]}` does not go with `--list`. Give `plugins=` or"
                " `space=`, or nothing."
            )
        load_plugins(parse_plugins(plugins["plugins"]) if plugins else ())
    show(listing())
    return 0


def _resume(own: dict[str, str], overrides: list[str], flags: list[str]) -> int:
    from mtsearch.runs.directory import PLACES, RESUMABLE
    from mtsearch.runs.opening import open_run

    for word in [*flags, *(key for key in own if key != "resume")]:
        raise BadInput(
            f"`{word}` does not go with `resume`. A run keeps its space; start a new one with"
            " `space=`."
        )
    changes: dict[str, Any] = {}
    for pair in overrides:
        key, _, value = pair.partition("=")
        if key not in (*RESUMABLE, *PLACES):
            raise BadInput(
                f"`{key}` cannot change on resume; only {', '.join((*RESUMABLE, *PLACES))} can."
                " Start a new run with `space=`."
            )
        if key == "plugins":
            changes[key] = parse_plugins(value)
        elif key in PLACES:
            changes[key] = value
        else:
            changes[key] = parse_value(key, value, text_kind(key.split(".")))
    run = open_run(own["resume"], changes.get("plugins"), "resume")
    if run.single:
        from mtsearch.commands.train import main as train

        return train([f"resume={own['resume']}", *overrides])
    run.space_with(changes)

    from mtsearch.execution.engine import resume

    return resume(own["resume"], changes)


if __name__ == "__main__":
    sys.exit(main())
