"""Export a trained model of a run: ``python -m mtsearch.export run=RUN pick=knee [out=DIR]``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mtsearch.commands.base import run_command
from mtsearch.config.errors import BadInput, nearest
from mtsearch.config.plugins import parse_plugins
from mtsearch.config.reading import split_pairs

USAGE = """python -m mtsearch.export run=RUN [pick=PICK] [of=TASK] [out=DIR] [onnx=true] [data.root=DIR] [data.store=DIR] [plugins=[FILE]]

Makes the picked trial's model small (zero rows removed, tied rows shared), checks it against the trained one on validation images and
writes model.pt2 and model.safetensors, which torch alone loads, with card.md and card.json. PICK is one of
  knee                               the front's knee (the default)
  best:METRIC                        the best of a metric, such as best:val/image/error
  preference:image=0.7,digit=0.3     the front's nearest to a preference (what is left out has no weight)
  bound:METRIC<=VALUE                the knee among those that keep a bound
  trial:0003                         one trial, or a control by its name
  of                                 the weights of this task's best report, where the trial had `keep: tasks`, instead of the selected ones
  out                                the folder to make (RUN/export/<trial>; ./export/<trial> of a run at a URL); what is there is replaced
  onnx                               true: write model.onnx too, checked in ONNX Runtime (needs `pip install 'mtsearch[onnx]'`)
  data.root, data.store, plugins     where the data and the plug-ins are now, when not where the run had them"""

KEYS = ("run", "pick", "of", "out", "onnx", "data.root", "data.store", "plugins")


def main(arguments: Sequence[str] | None = None) -> int:
    """The door; returns the exit code: 0 done, 1 the model could not be exported, 2 bad input, 130
    interrupted."""
    failures = dict.fromkeys((RuntimeError, OSError), "nothing was exported: {error}")
    return run_command("export", USAGE, _export, arguments, failures, "nothing was exported.")


def _export(words: list[str]) -> int:
    own, rest = split_pairs(words, KEYS)
    if rest:
        key = rest[0].partition("=")[0]
        raise BadInput(f"`{key}` is no key of the export. {nearest(key, KEYS)}")
    if "run" not in own:
        raise BadInput(
            "`run` is missing. Write, for example, `python -m mtsearch.export"
            " run=results/pareto_cm/20260101-120000 pick=knee`."
        )
    onnx = own.get("onnx", "false").lower()
    if onnx not in ("true", "false"):
        raise BadInput(f"`onnx` should be true or false. Found {own['onnx']}.")

    from mtsearch.runs.object_store import is_url
    from mtsearch.runs.opening import open_run

    run = open_run(own["run"], parse_plugins(own["plugins"]) if "plugins" in own else None)

    from mtsearch.deploy import (
        export_model,
        need_onnx,
    )  # torch takes seconds to import: a wrong folder is answered before
    from mtsearch.jobs.restore import load_trial
    from mtsearch.pareto import choose
    from mtsearch.population import Population

    if onnx == "true":
        need_onnx()
    pick = own.get("pick", "knee")
    row = choose(run.rows(), run.config.objectives, pick, run.config.constraints)
    name = row["trial"]
    trial = load_trial(
        run,
        name,
        {key.removeprefix("data."): value for key, value in own.items() if key.startswith("data.")},
    )
    model, of = trial.selected_model(), own.get("of")
    if model.told:
        raise BadInput(
            f"trial `{name}` is a baseline that is told labels, so there is no model to deploy."
            " Pick another trial."
        )
    if of is not None:
        if isinstance(trial, Population):
            raise BadInput(
                f"trial `{name}` is a population, which has one target task and one model. Leave"
                " `of` out."
            )
        model = trial.selected_model(of)
        row = {
            key: value for key, value in row.items() if not key.startswith(("val/", "test/"))
        } | trial.best(of)
        name, pick = f"{name}-{of}", f"{pick}, best of {of}"
    out = (
        Path(own["out"])
        if "out" in own
        else (Path() if is_url(run.address) else run.path) / "export" / name
    )
    export_model(
        model,
        trial.dataset,
        trial.tasks,
        out,
        _facts(run.name, run.environment, row, pick, trial.config),
        onnx=onnx == "true",
    )
    print(
        f"data    {trial.dataset.label}\ntrial   {name} ({pick})\nfiles  "
        f" {', '.join(sorted(path.name for path in out.iterdir()))}"
    )
    print(f"export: {out}")
    return 0


def _facts(
    run: str, environment: Mapping[str, Any], row: Mapping[str, Any], pick: str, config: Any
) -> dict[str, Any]:
    """What the card tells of the trial; the run by its name only and files by theirs, as folders
    mean nothing elsewhere."""
    from mtsearch.runs.commands import strip_local_paths

    return {
        "run": run,
        "trial": row["trial"],
        "pick": pick,
        "command": shlex.join(strip_local_paths(shlex.split(row["command"]))),
        "preference": config.preference,
        "metrics": {
            key: value
            for key, value in row.items()
            if key.startswith(("val/", "test/")) and isinstance(value, int | float)
        },
        "config": config.model_dump(mode="json"),
        "environment": dict(environment),
    }


if __name__ == "__main__":
    sys.exit(main())
