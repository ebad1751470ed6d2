"""Time from one trial's last step to the next one's first: resident actors and groups, as searches
run them, against fresh ones.

- warm: one worker a trial, in an actor that stays. fresh: an actor for each trial.
- group: two workers a trial, in a Ray Train worker group that stays. trainer: a `TorchTrainer`
  inside each Tune trial, as Ray documents it.

A trial is one epoch of hard sharing on 100 images of the embedded sample; all ways must make the
same numbers. The figure is the median over the trials after the first, so what is paid once for a
search does not count. Usage: python benchmarks/turnover.py
"""

import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

from ray import train, tune
from rich.console import Console
from rich.table import Table
from trials import clocked

from mtsearch.config.schema import DataConfig
from mtsearch.config.space import Space
from mtsearch.execution import engine
from mtsearch.execution.cluster import cluster
from mtsearch.execution.searcher import JobSearcher
from mtsearch.jobs.environment import environment_of
from mtsearch.runs.directory import RunDirectory
from mtsearch.runs.opening import create_run
from mtsearch.strategy.manager import TrialManager

TRIALS = {"warm": 20, "fresh": 4, "group": 12, "trainer": 4}
WORKERS = {"warm": 1, "fresh": 1, "group": 2, "trainer": 2}
BOUND, RATIO = (
    0.3,
    100.0,
    # seconds that a resident start may take, and how often a group's time the documented way should
    # take
)
ERRORS = ("val/image/error", "val/digit/error")
CLASS = "trials.clocked:ClockedTrial"


def space(folder, way):
    return Space(
        {
            "name": "turnover",
            "data": {"dataset": "cifar10_mnist", "limit": 100},
            "workers": WORKERS[way],
            "search": {"sampler": "random", "trials": TRIALS[way], "slots": 1},
            "results": {"root": str(folder)},
            "objectives": ["val/image/error", "val/digit/error"],
            "trial": {
                "epochs": {"search": 0, "retrain": 1},
                "optimizer": {"name": "adam", "lr": {"loguniform": [1e-4, 1e-2], "default": 1e-3}},
            },
        }
    )


def resident(folder, way):
    """Search as the product does (fresh: without reusing actors); returns each trial's errors."""
    run = engine.tune.run
    engine.tune.run = lambda *args, **settings: run(
        *args, **{**settings, "reuse_actors": way != "fresh"}
    )
    try:
        with open(os.devnull, "w") as silence:
            code = engine.run(
                space(folder, way),
                name="turnover",
                trial_class=CLASS,
                console=Console(file=silence),
            )
    finally:
        engine.tune.run = run
    assert code == 0, "the search must come to its end"
    (path,) = (entry.path for entry in os.scandir(folder / "turnover"))
    return [[row[name] for name in ERRORS] for row in RunDirectory(path).rows()]


def serve(config):
    """What each worker of a `TorchTrainer` does: one job."""
    import torch.distributed as dist

    from mtsearch.jobs.job import Job
    from mtsearch.training import World

    job = Job(config["job"], World(dist.get_rank(), dist.get_world_size()))
    result = job.step()
    while True:
        train.report({"done": result.done})
        if result.done:
            break
        result = job.step()
    if dist.get_rank() == 0:
        Path(config["errors"]).write_text(json.dumps([result.reports[-1][name] for name in ERRORS]))
    job.close()


def one_trainer(config):
    """A Tune trial as documented: it starts a trainer, which starts its workers."""
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    scaling = ScalingConfig(num_workers=2, resources_per_worker={"CPU": 1})
    run_config = RunConfig(
        storage_path=config["folder"],
        name=config["trial"],
        worker_runtime_env={"env_vars": {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}},
    )
    trainer = TorchTrainer(
        serve,
        train_loop_config={
            "job": config["job"],
            "errors": f"{config['folder']}/{config['trial']}.json",
        },
        scaling_config=scaling,
        run_config=run_config,
        torch_config=TorchConfig(backend="gloo"),
    )
    trainer.fit()
    tune.report({"done": True})


def documented(folder, way):
    """The same jobs, a `TorchTrainer` inside each trial of a Tuner."""
    made = space(folder, way)
    data, environment = environment_of(made)
    run = create_run(made, environment, name="turnover")
    searcher = JobSearcher(
        TrialManager(run, made, DataConfig.model_validate(data.model_dump())), CLASS
    )
    jobs = [searcher.suggest("") for _ in range(TRIALS[way])]
    found = tune.Tuner(
        tune.with_resources(
            one_trainer, tune.PlacementGroupFactory([{"memory": 1.0}])
        ),  # the CPUs are for its workers
        param_space={
            "job": tune.grid_search([job["job"] for job in jobs]),
            "folder": str(folder),
            "trial": tune.sample_from(_name),
        },
        tune_config=tune.TuneConfig(max_concurrent_trials=1),
        run_config=tune.RunConfig(storage_path=str(folder), name="documented", verbose=0),
    ).fit()
    assert not found.errors, found.errors
    return [
        json.loads(
            (
                folder / f"{Path(json.loads(job['job'])['checkpoint']['folder']).name}.json"
            ).read_text()
        )
        for job in jobs
    ]


def _name(config):
    return Path(json.loads(config["job"])["checkpoint"]["folder"]).name


def gaps(log):
    """Seconds between the end of each trial and the beginning of the next."""
    moments = [
        (float(moment), what)
        for moment, what in (line.split() for line in log.read_text().splitlines())
    ]
    assert [what for _, what in moments] == ["begin", "end"] * (len(moments) // 2), (
        "trials run one after another"
    )
    return [begin - end for (end, _), (begin, _) in zip(moments[1::2], moments[2::2], strict=False)]


def main():
    here = Path(__file__).resolve().parent  # where the actors find `trials.clocked`
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(here), str(here.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    table = Table("way", "workers", "trials", "median s", "worst s")
    figures, errors = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "clock"
        os.environ[clocked.LOG] = str(log)
        with cluster():
            for way in TRIALS:
                log.write_text("")
                root = Path(folder) / way
                root.mkdir()
                errors[way] = (documented if way == "trainer" else resident)(root, way)
                seconds = gaps(log)
                assert len(seconds) == TRIALS[way] - 1
                figures[way] = statistics.median(seconds)
                table.add_row(
                    way,
                    str(WORKERS[way]),
                    str(TRIALS[way]),
                    f"{figures[way]:.3f}",
                    f"{max(seconds):.3f}",
                )
    for few, many in (("fresh", "warm"), ("trainer", "group")):
        assert errors[few] == errors[many][: TRIALS[few]], (
            "the way of starting must not change a number"
        )
    console = Console()
    console.print(table)
    ratios = {
        "one_worker": figures["fresh"] / figures["warm"],
        "two_workers": figures["trainer"] / figures["group"],
    }
    kept = max(figures["warm"], figures["group"]) < BOUND and ratios["two_workers"] >= RATIO
    console.print(
        f"fresh starts take {ratios['one_worker']:.0f} and {ratios['two_workers']:.0f} times as"
        " long as resident ones with one worker and with two; bounds (a resident start under"
        f" {BOUND} s, two workers {RATIO:g} times) {'kept' if kept else 'missed'}",
        soft_wrap=True,
    )
    print(
        json.dumps(
            {
                "benchmark": "turnover",
                **{f"{way}_seconds": round(value, 4) for way, value in figures.items()},
                **{f"ratio_{name}": round(value, 1) for name, value in ratios.items()},
                "kept": kept,
                "cores": os.cpu_count(),
            }
        )
    )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
