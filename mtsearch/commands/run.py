"""Search a space, or continue a run: ``mtsearch run space=NAME key=value ...``,
``mtsearch run resume=RUN``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from mtsearch.commands.base import run_command, show
from mtsearch.config.errors import BadInput, Halt, nearest
from mtsearch.config.overrides import parse_value, split_pairs, text_kind
from mtsearch.config.plugins import load_plugins, parse_plugins
from mtsearch.config.reading import load_space, package_folder

USAGE = """mtsearch run space=NAME|PATH [profile=NAME] [key=value ...]    search a space
mtsearch run data=NAME|CARD.yaml [key=value ...]    search a dataset with the space of `init`
mtsearch run resume=RUN [search.trials=N] [search.budget=SECONDS] [search.slots=N]
    [search.confirm=N] [search.start=[...]] [search.stop.RULE=...]
    continue a run, or extend it; data.root=DIR, data.store=DIR and plugins=[FILE.py] say where its
    data and plug-ins are now

--list [KIND] spaces with their profiles, datasets and methods; or one kind, such as backbones
--cfg         every key of the space with its value (with space=NAME)
--dry-run     slots, first configurations and cost, without training (with space=NAME)
--or-resume   continue the run that results.run=NAME names, if it exists (with space=NAME): for jobs
              that are started again

Any key of --cfg can be set; of a key that is given several times the last value counts:
  search.trials=50  search.slots=2  data.root=DIR  trial.optimizer.lr=0.001
  plugins=[FILE.py, module]        methods of your own, also for --list
  'trial.optimizer.lr={loguniform: [0.0001, 0.01], default: 0.001}'
Values are YAML 1.2: numbers are decimal (1e-3, not 0x1F or 1_000), switches are true or false. The
value of a key that takes a name or a path is taken as it stands, without quotes.

Each trial uses one CPU core, unless search.slots or resources.cpu say otherwise. Ctrl-C ends the
search; finished trials are kept, and resume=RUN continues. The last line is the run directory,
`run: PATH`. With results.root=s3://BUCKET/PREFIX, or another URL that fsspec can write to, a run is
kept there, and RUN is its URL."""

LOADING = "loading the data and Ray ..."  # the first output, before imports that take seconds
FLAGS = ("--list", "--cfg", "--dry-run", "--or-resume")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 1 failed, 2 bad input, 130 interrupted."""
    return run_command(
        "run",
        USAGE,
        _run,
        arguments,
        {Halt: "{error} Fix this, then resume again."},
        "everything finished is kept.",
    )


def _run(words: list[str]) -> int:
    pairs = [word for word in words if not word.startswith("-")]
    flags = [word for word in words if word.startswith("-")]
    for flag in flags:
        if flag not in FLAGS:
            raise BadInput(f"unknown option `{flag}`. Known here: {', '.join(FLAGS)}, --help.")
    topic = None
    if "--list" in flags and (bare := [word for word in pairs if "=" not in word]):
        topic = bare[0]
        pairs = [word for word in pairs if word != topic]
    alone = [flag for flag in FLAGS if flag in flags]
    if len(alone) > 1:
        raise BadInput(
            f"{' and '.join(f'`{flag}`' for flag in alone)} do not go together. Give one of them."
        )
    own, overrides = split_pairs(pairs, ("space", "profile", "resume"))
    if "--list" in flags:
        return _list(own, overrides, topic)
    if "resume" in own:
        return _resume(own, overrides, flags)
    if "space" not in own:
        given, rest = split_pairs(overrides, ("data",))
        if "data" in given:
            own["space"], overrides = _card_path(given["data"]), rest
    if "space" not in own:
        raise BadInput(
            "`space` is missing. Write, for example, `python -m mtsearch.run space=pareto_cm`;"
            " `--list` shows all. `data=CARD.yaml` searches a dataset without a space."
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
    _show_loading()
    from mtsearch.execution.engine import run  # Ray takes seconds to import

    return run(
        space,
        name=own.get("space", space.config.name),
        profile=own.get("profile"),
        overrides=tuple(overrides),
    )


def _card_path(dataset: str) -> str:
    """The path of the card of a dataset, which is given by its name or by that path."""
    if dataset.endswith((".yaml", ".yml")):
        return dataset
    known = {path.stem: path for path in package_folder("datasets").glob("*.yaml")}
    if dataset not in known:
        raise BadInput(
            f"unknown dataset `{dataset}`. {nearest(dataset, known)} A dataset of your own is given"
            " as the path of its card, ending in .yaml."
        )
    return str(known[dataset])


def _list(own: dict[str, str], overrides: list[str], topic: str | None) -> int:
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
    show(listing(topic))
    return 0


def _show_loading() -> None:
    """Tell a person at a terminal what takes seconds. Nothing is printed into pipes and logs, where
    bad input is one sentence."""
    if sys.stdout.isatty():
        show(LOADING)


def _resume(own: dict[str, str], overrides: list[str], flags: list[str]) -> int:
    from mtsearch.runs.directory import PLACES, refuse_fixed
    from mtsearch.runs.opening import open_run

    for word in [*flags, *(key for key in own if key != "resume")]:
        raise BadInput(
            f"`{word}` does not go with `resume`. A run keeps its space; start a new one with"
            " `space=`."
        )
    changes: dict[str, Any] = {}
    for pair in overrides:
        key, _, value = pair.partition("=")
        refuse_fixed([key])
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
    _show_loading()
    from mtsearch.execution.engine import resume

    return resume(own["resume"], changes)


if __name__ == "__main__":
    sys.exit(main())
