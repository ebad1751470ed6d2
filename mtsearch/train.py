"""Train one configuration of a space: ``python -m mtsearch.train space=NAME key=value ...``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mtsearch.config.doors import open_door
from mtsearch.config.errors import BadInput, Halt, nearest
from mtsearch.config.space import Space, read_space, split_pairs

if TYPE_CHECKING:
    from mtsearch.config.schema import TrialConfig
    from mtsearch.population import Population
    from mtsearch.training import Trial
    from mtsearch.tuning.rundir import RunDirectory

USAGE = """python -m mtsearch.train space=NAME|PATH [control=NAME] [profile=NAME] [key=value ...]

Trains one configuration: the space's defaults (or one of its controls) with your changes, such as
  trial.architecture=mdmtn  trial.optimizer.lr=0.001  'trial.preference={image: 0.7, digit: 0.3}'  data.root=DIR
and writes a run directory with its checkpoint, which `python -m mtsearch.export run=RUN pick=trial:0000` exports (a control by
its name: pick=trial:stl). The last line is the run directory, `run: PATH`. Exit codes: 0 done, 1 the training failed, 2 bad input,
130 interrupted. Set trial.threads to use more than one core, plugins=[FILE.py] to use methods of your own.
`python -m mtsearch.run space=NAME --cfg` shows every key. Those of search, workers, resources and monitor change nothing here."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The door; returns the exit code: 0 done, 1 failed, 2 bad input, 130 interrupted."""
    failures: dict[type[Exception], str] = {Halt: "{error} Mend that, then train it again."}
    return open_door("train", USAGE, _train, arguments, failures, "a single training is not resumed, start it again.")


def _train(words: list[str]) -> int:
    own, overrides = split_pairs(words, ("space", "profile", "control"))
    if "space" not in own:
        raise BadInput("`space` is missing. Write, for example, `python -m mtsearch.train space=pareto_cm`.")
    raw = read_space(own["space"], overrides, own.get("profile"))
    given = raw["trial"].get("threads") if isinstance(raw.get("trial"), dict) else None
    if isinstance(given, int):
        os.environ["OMP_NUM_THREADS"] = str(given)  # before a plug-in imports torch, as below
    control = own.get("control")
    if control is not None and control not in raw["controls"]:
        raise BadInput(f"`control` names no control of {raw['name']}: `{control}`. {nearest(control, raw['controls'])}")
    # Whatever a control that is not trained has become by the changes is no matter here.
    space = Space({**raw, "controls": {control: raw["controls"][control]} if control else {}, "delta_m": None})
    tree = space.controls[control] if control else space.defaults

    config = space.trial(tree)
    os.environ["OMP_NUM_THREADS"] = str(config.threads)  # before torch is imported, whose OpenMP reads it once

    from mtsearch.population import open_trial  # torch takes seconds to import: mistakes are answered before
    from mtsearch.tuning.environment import environment_of
    from mtsearch.tuning.record import reason_of
    from mtsearch.tuning.remote import check_results, create_run

    _check_device(config)
    check_results(space)
    data, environment = environment_of(space, f"controls.{control}" if control else "trial")
    trial, reason = None, None
    try:
        trial = open_trial(config, data)
    except BadInput:
        raise
    except Exception as error:  # whatever a trial raises is kept as its reason
        reason = reason_of(error)
    run = create_run(space, environment, name=own["space"], profile=own.get("profile"), overrides=overrides, single=True)
    console = Console()
    say(console, f"data  {environment['dataset']}\nrun   {run.place}")
    with run.driver_lock():
        code = _run(run, trial, reason, {"trial": control or "0000", "control": control, "config": tree}, console)
    say(console, f"run: {run.address}")
    return code


def _run(run: RunDirectory, trial: Trial | Population | None, reason: str | None, identity: dict[str, Any], console: Console) -> int:
    """Train to the end or to the first exception, every step an event; then the test and the tables. Returns the exit code."""
    from mtsearch.report import write
    from mtsearch.tuning.record import reason_of
    from mtsearch.tuning.states import states_of

    name, figures = identity["trial"], None
    kind = "search" if identity["control"] is None else "control"
    run.log.append("start", **identity, kind=kind, params={}, study={}, attempt=1)
    if trial is not None:
        try:
            with _bar(console) as progress:
                bar = progress.add_task("training", total=trial.total_epochs)
                for report in trial:
                    run.log.append("report", trial=name, report=report["report"], metrics=report)
                    say(progress.console, _line(report, trial.total_epochs))
                    progress.update(bar, completed=report["epoch"])
            states = states_of(run.states(name, identity["config"]), None)
            states.keep(trial, last=True)
            states.close()
        except Exception as error:  # as above
            reason = reason_of(error)
    if trial is None or reason is not None:
        run.log.append("end", trial=name, state="failed", reason=reason)
        print(f"mtsearch.train: the training failed: {reason}", file=sys.stderr)
    else:
        run.log.append("end", trial=name, state="done", selected=trial.selected["report"])
        try:
            figures = trial.evaluate("test")
            run.log.append("test", trial=name, metrics=figures)
            say(console, f"selected report {trial.selected['report']}: {_tested(trial.selected, figures)}")
        except Exception as error:  # as above
            print(f"mtsearch.train: the test failed: {reason_of(error)}", file=sys.stderr)
    run.log.close()
    write(run)
    unkept = run.settle()
    if unkept is not None:
        print(f"mtsearch.train: {unkept}", file=sys.stderr)
    return 0 if figures is not None and unkept is None else 1


def _check_device(config: TrialConfig) -> None:
    import torch

    if config.device == "cuda" and not torch.cuda.is_available():
        raise BadInput("`trial.device` is cuda, but torch finds no usable GPU here. Set trial.device=cpu or auto.")


def say(console: Console, line: str) -> None:
    """A line without markup or cuts."""
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def _bar(console: Console) -> Progress:
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("epochs"), TimeRemainingColumn()]
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)


def _line(report: dict[str, object], epochs: int) -> str:
    whose = "teacher/" if report["phase"] == "teach" else "val/"  # while its teachers learn, the network itself stays as it was
    return f"epoch {report['epoch']:>3}/{epochs}  {report['phase']:<7}  {_metrics(report, whose)}  density {report['model/density']:.3f}"


def _tested(selected: dict[str, object], figures: dict[str, float]) -> str:
    """The test's figures of the kinds that reports hold; single classes stand in the tables."""
    return _metrics({key: value for key, value in figures.items() if key.replace("test/", "val/", 1) in selected}, "test/")


def _metrics(report: dict[str, object], prefix: str) -> str:
    return "  ".join(f"{key} {value:.4g}" for key, value in report.items() if key.startswith(prefix))


if __name__ == "__main__":
    sys.exit(main())
