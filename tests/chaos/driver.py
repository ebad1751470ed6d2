"""A driver in a separate process: ``python -m tests.chaos.driver JSON`` with ``{"run": root,
"made": kind}`` or ``{"resume": path, "made": kind}``, and perhaps ``"act"`` and ``"batch_size"`` of
an order against this process."""

from __future__ import annotations

import functools
import json
import os
import sys

from mtsearch.config.errors import BadInput, Halt
from mtsearch.config.space import Space
from mtsearch.execution import engine
from mtsearch.jobs import conclusion as finish
from tests.helpers import spaces
from tests.helpers.fake import order

TRIALS = {"fake": "tests.helpers.fake:FakeTrial", "real": "tests.helpers.mortal:MortalTrial"}


def space_of(made: str, root: str, more: dict | None = None, **search) -> Space:
    """The space of the runs here: eight fake trials or two real ones, and for fakes a control.
    `more` replaces whole keys."""
    space = (
        spaces.space(root, trials=8, **{"slots": 2, **search})
        if made == "fake"
        else spaces.real(root, slots=2)
    )
    return Space({**space.raw, **(more or {})})


def main(text: str) -> int:
    options = json.loads(text)
    finish.publish = functools.partial(finish.publish, formats=("parquet", "csv", "md"))
    if "act" in options:
        order(options["act"], options["batch_size"], options.get("report", 2), os.getpid())
    trial_class = TRIALS[options["made"]]
    try:
        if "resume" in options:
            return engine.resume(
                options["resume"], options.get("changes", {}), trial_class=trial_class
            )
        space = space_of(
            options["made"], options["run"], options.get("more"), **options.get("search", {})
        )
        return engine.run(space, name="toy", trial_class=trial_class)
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    except Halt as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
