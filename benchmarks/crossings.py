"""How often the code crosses files on three ways: `python benchmarks/crossings.py [--calls]`.

A call crosses files where a function of the package calls one of another file, directly or through
a library. Counted are the files that run, the different crossings (calling and called function) and
all such calls: in the configuration of a trial from words of the command line, in one training step
of MDMTN with smooth Chebyshev and sparsity, and in the tables of a run from its events.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console

import mtsearch
from mtsearch.config.reading import load_training
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.jobs import single
from mtsearch.training import Trial

ROOT = str(Path(mtsearch.__file__).parent)
WORDS = ["trial.optimizer.lr=0.001", "trial.epochs={search: 2, retrain: 0}", "data.limit=128"]
STEP = {
    "architecture": "mdmtn",
    "backbone": "cm",
    "batch_size": 32,
    "balancing": "smooth_chebyshev",
    "sparsity": {"mode": "target", "target": 0.5, "applications": 1},
    "epochs": {"search": 10, "retrain": 0},
}


def crossings(work: Callable[[], Any]) -> tuple[set[str], Counter[str]]:
    """The files of the package that run in `work`, and the calls between two of them."""
    files: set[str] = set()
    calls: Counter[str] = Counter()

    def called(frame: FrameType, event: str, _: Any) -> None:
        if event != "call" or not frame.f_code.co_filename.startswith(ROOT):
            return
        files.add(frame.f_code.co_filename)
        caller = frame.f_back
        while caller is not None and not caller.f_code.co_filename.startswith(ROOT):
            caller = caller.f_back
        if caller is not None and caller.f_code.co_filename != frame.f_code.co_filename:
            calls[f"{_name(caller)} -> {_name(frame)}"] += 1

    sys.setprofile(called)
    try:
        work()
    finally:
        sys.setprofile(None)
    return files, calls


def _name(frame: FrameType) -> str:
    path = Path(frame.f_code.co_filename).relative_to(ROOT)
    return f"{path}:{frame.f_code.co_qualname}"


def step() -> tuple[set[str], Counter[str]]:
    """The last step of the second epoch, after which the sparsity rule is applied."""
    trial = Trial(
        TrialConfig.model_validate(STEP), DataConfig(dataset="patches10_digits", limit=128)
    )
    next(trial)
    trainer = trial._trainer
    trainer._model.train()
    trainer._loader.start_epoch()

    def one() -> None:
        trainer._set_lr(5, 4)
        trainer._stepper.step(trainer._loader.next_batches((0, 1)), 0.0)
        trainer.ticks = 7  # of 8 in two epochs
        trainer._sparsify(1, 4, 4)

    return crossings(one)


def tables() -> tuple[set[str], Counter[str]]:
    """The end of a single training of two epochs."""
    found: list[tuple[set[str], Counter[str]]] = []
    conclude = single.conclude
    single.conclude = lambda *args, **given: found.append(
        crossings(lambda: conclude(*args, **given))
    )
    with tempfile.TemporaryDirectory() as folder:
        words = [*WORDS, f"results.root={folder}"]
        space = load_training("pareto_cm", words)
        single.train(space, name="pareto_cm", overrides=words, console=Console(file=io.StringIO()))
    return found[0]


def main() -> int:
    ways = {
        "configuration": lambda: crossings(lambda: load_training("pareto_cm", WORDS)),
        "step": step,
        "tables": tables,
    }
    figures = {}
    print(f"{'way':<15}{'files':>7}{'crossings':>11}{'calls':>8}")
    for name, work in ways.items():
        with contextlib.redirect_stdout(io.StringIO()):
            files, calls = work()
        figures[name] = {"files": len(files), "crossings": len(calls), "calls": calls.total()}
        print(f"{name:<15}{len(files):>7}{len(calls):>11}{calls.total():>8}")
        if "--calls" in sys.argv:
            print(*(f"    {count:>4}  {call}" for call, count in calls.most_common()), sep="\n")
    print(json.dumps({"benchmark": "crossings", **figures}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
