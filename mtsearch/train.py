"""Train one configuration of a space: ``python -m mtsearch.train space=NAME key=value ...``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mtsearch.config.errors import BadInput, nearest
from mtsearch.config.space import load_space, split_pairs

USAGE = """python -m mtsearch.train space=NAME|PATH [control=NAME] [profile=NAME] [key=value ...]

Trains one configuration: the space's defaults (or one of its controls) with your changes, such as
  trial.architecture=mdmtn  trial.optimizer.lr=0.001  'trial.preference={image: 0.7, digit: 0.3}'  data.root=DIR
and writes a run directory with its checkpoint, which `python -m mtsearch.export run=RUN pick=trial:0000` exports.
`python -m mtsearch.run space=NAME --cfg` shows every key."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The door; returns the exit code: 0 done, 1 diverged, 2 bad input, 130 interrupted."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or "--help" in words or "-h" in words:
        print(USAGE)
        return 0
    try:
        return _train(words)
    except BadInput as error:
        print(f"mtsearch.train: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("mtsearch.train: interrupted; a single training is not resumed, start it again.", file=sys.stderr)
        return 130


def _train(words: list[str]) -> int:
    own, overrides = split_pairs(words, ("space", "profile", "control"))
    if "space" not in own:
        raise BadInput("`space` is missing. Write, for example, `python -m mtsearch.train space=pareto_cm`.")
    space = load_space(own["space"], overrides, own.get("profile"))
    control = own.get("control")
    if control is not None and control not in space.controls:
        raise BadInput(f"`control` names no control of {space.config.name}: `{control}`. {nearest(control, space.controls)}")
    tree = space.controls[control] if control else space.defaults

    from mtsearch.report import write
    from mtsearch.training import Diverged, Trial  # torch takes seconds to import: mistakes are answered before
    from mtsearch.tuning.environment import environment_of
    from mtsearch.tuning.rundir import RunDirectory

    console = Console()
    data, environment = environment_of(space)
    run = RunDirectory.create(space, environment, name=own["space"], profile=own.get("profile"), overrides=overrides)
    name = control or "0000"
    console.print(f"data  {environment['dataset']}\nrun   {run.path}", highlight=False, markup=False, soft_wrap=True)
    with run.driver_lock():
        run.log.append("start", trial=name, kind="search", control=control, config=tree, params={}, study={}, attempt=1)
        trial = Trial(space.trial(tree), data)
        try:
            with _bar(console) as progress:
                bar = progress.add_task("training", total=trial.total_epochs)
                for report in trial:
                    run.log.append("report", trial=name, report=report["report"], metrics=report)
                    progress.console.print(_line(report, trial.total_epochs), highlight=False, markup=False, soft_wrap=True)
                    progress.update(bar, completed=report["epoch"])
        except Diverged as error:
            run.log.append("end", trial=name, state="failed", reason=str(error))
            print(f"mtsearch.train: the training diverged: {error}", file=sys.stderr)
            return 1
        trial.save(run.checkpoint(name))
        run.log.append("end", trial=name, state="done", selected=trial.selected["report"])
        figures = trial.evaluate("test")
        run.log.append("test", trial=name, metrics=figures)
    console.print(
        f"selected report {trial.selected['report']}: {_metrics({**trial.selected, **figures}, 'test/')}", highlight=False, markup=False
    )
    write(run)
    console.print(f"run: {run.path}", highlight=False, markup=False, soft_wrap=True)
    return 0


def _bar(console: Console) -> Progress:
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("epochs"), TimeRemainingColumn()]
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)


def _line(report: dict[str, object], epochs: int) -> str:
    return f"epoch {report['epoch']:>3}/{epochs}  {report['phase']:<7}  {_metrics(report, 'val/')}  density {report['model/density']:.3f}"


def _metrics(report: dict[str, object], prefix: str) -> str:
    return "  ".join(f"{key} {value:.4g}" for key, value in report.items() if key.startswith(prefix))


if __name__ == "__main__":
    sys.exit(main())
