"""Export a trained model of a run: ``mtsearch export run=RUN [pick=PICK] [out=DIR]``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mtsearch.commands.base import run_command
from mtsearch.config.errors import BadInput, nearest
from mtsearch.config.overrides import split_pairs
from mtsearch.config.plugins import parse_plugins

USAGE = """mtsearch export run=RUN [pick=PICK] [of=TASK] [out=DIR] [onnx=true] [data.root=DIR]
    [data.store=DIR] [plugins=[FILE.py]]

Compacts the picked trial's model (zero rows removed, tied rows shared), compares it with the
trained one on validation images and writes model.pt2 and model.safetensors, which torch alone
loads, with card.md and card.json. PICK is one of
  auto                               the front's only point; of two, the one for equal preference;
                                     the knee from three on (the default)
  knee                               the front's knee; it needs at least three different points
  best:METRIC                        the best of a metric, such as best:val/image/error
  preference:image=0.7,digit=0.3     the front's nearest to a preference (others have weight 0);
                                     of a Pareto set the network of exactly that preference
  bound:METRIC<=VALUE                as auto, among those that keep a bound
  trial:0003                         one trial, a point such as trial:0003@05, or a control
  of        the weights of this task's best report instead of the selected ones, if the trial had
            `keep: tasks`
  out       the folder to write (default RUN/export/<trial>, or ./export/<trial> for a run at a
            URL); its files are replaced
  onnx      true: also write model.onnx, checked in ONNX Runtime
            (needs `pip install 'mtsearch[onnx]'`)
  data.root, data.store, plugins
            where the data and the plug-ins are now, if they have moved"""

KEYS = ("run", "pick", "of", "out", "onnx", "data.root", "data.store", "plugins")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 1 the model could not be exported, 2 bad
    input, 130 interrupted."""
    failures = dict.fromkeys((RuntimeError, OSError), "nothing was exported: {error}")
    return run_command("export", USAGE, _export, arguments, failures, "nothing was exported.")


def _export(words: list[str]) -> int:
    own, rest = split_pairs(words, KEYS)
    if rest:
        key = rest[0].partition("=")[0]
        raise BadInput(f"`{key}` is not a key of the export. {nearest(key, KEYS)}")
    if "run" not in own:
        raise BadInput(
            "`run` is missing. Write, for example, `python -m mtsearch.export"
            " run=results/pareto_cm/20260101-120000 pick=auto`."
        )
    onnx = own.get("onnx", "false").lower()
    if onnx not in ("true", "false"):
        raise BadInput(f"`onnx` should be true or false. Found {own['onnx']}.")

    from mtsearch.jobs.run import Run
    from mtsearch.runs.opening import open_run

    run = open_run(own["run"], parse_plugins(own["plugins"]) if "plugins" in own else None)

    places = {k.removeprefix("data."): v for k, v in own.items() if k.startswith("data.")}
    picked = Run(run).pick(own.get("pick", "auto"), of=own.get("of"))
    out = picked.export(own.get("out"), onnx=onnx == "true", places=places)
    print(f"trial   {picked.name} ({picked.how})")
    print(f"files   {', '.join(sorted(path.name for path in out.iterdir()))}")
    print(f"export: {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
