"""Train one configuration of a space: ``mtsearch train space=NAME key=value ...``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mtsearch.commands.base import run_command
from mtsearch.config.errors import BadInput, Halt
from mtsearch.config.overrides import split_pairs
from mtsearch.config.plugins import parse_plugins
from mtsearch.config.reading import load_training

USAGE = """mtsearch train space=NAME|PATH [control=NAME] [profile=NAME] [test=true] [key=value ...]
mtsearch train resume=RUN [test=true] [data.root=DIR] [data.store=DIR] [plugins=[FILE.py]]
    continue after Ctrl-C or a crash

Trains one configuration: the space's defaults, or one of its controls, with your changes, such as
  trial.architecture=mdmtn  trial.optimizer.lr=0.001  data.root=DIR
  'trial.preference={image: 0.7, digit: 0.3}'
and writes a run directory with its checkpoint. `mtsearch export run=RUN pick=trial:0000` exports it
(a control by its name: pick=trial:stl). With test=true the test split is read once, at the end,
also of a run that has ended (resume=RUN test=true); without it nothing can be chosen by test
figures. The last line is the run directory, `run: PATH`.

`mtsearch run space=NAME --cfg` shows every key; those of search, workers, resources and monitor
have no effect here. Of a key that is given several times the last value counts. trial.threads=N
uses N cores; plugins=[FILE.py] loads methods of your own."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 1 failed, 2 bad input, 130 interrupted."""
    failures: dict[type[Exception], str] = {
        Halt: "{error} Fix this, then continue with `python -m mtsearch.train resume=RUN`."
    }
    return run_command(
        "train",
        USAGE,
        _train,
        arguments,
        failures,
        "`python -m mtsearch.train resume=RUN` continues a run that has begun.",
    )


def _train(words: list[str]) -> int:
    own, overrides = split_pairs(words, ("space", "profile", "control", "resume", "test"))
    if "resume" in own:
        return _resume(own, overrides)
    if "space" not in own:
        raise BadInput(
            "`space` is missing. Write, for example, `python -m mtsearch.train space=pareto_cm`."
        )
    space = load_training(own["space"], overrides, own.get("profile"), own.get("control"))

    from mtsearch.jobs.single import train

    return train(
        space,
        name=own["space"],
        profile=own.get("profile"),
        overrides=overrides,
        test=_test(own),
    )


def _test(own: dict[str, str]) -> bool:
    value = own.get("test", "false")
    if value not in ("true", "false"):
        raise BadInput(f"`test` should be true or false. Found `{value}`.")
    return value == "true"


def _resume(own: dict[str, str], overrides: list[str]) -> int:
    from mtsearch.jobs.single import resume
    from mtsearch.runs.directory import PLACES

    for key in [
        *(key for key in own if key not in ("resume", "test")),
        *(pair.partition("=")[0] for pair in overrides),
    ]:
        if key not in PLACES:
            raise BadInput(
                f"`{key}` does not go with `resume`; only {', '.join(PLACES)} do. Start a new"
                " training with `space=`."
            )
    places = dict(pair.split("=", 1) for pair in overrides)
    return resume(
        own["resume"],
        {key: parse_plugins(value) if key == "plugins" else value for key, value in places.items()},
        test=_test(own),
    )


if __name__ == "__main__":
    sys.exit(main())
