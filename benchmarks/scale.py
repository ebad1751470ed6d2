"""What a search of many trials costs its driver: time and memory a trial, on one machine, on eight
raylets, on 200 simulated nodes.

- machine: 10,000 trials that compute nothing (`trials/trivial.py`) through the real searcher,
  study, event log, tables and Ray Tune.
- raylets: 400 of them over eight real Ray nodes on this machine; their rows must be those of one
  node.
- nodes: 200 nodes with 8 slots each as a discrete-event simulation without Ray, which drives the
  real searcher, manager, study and tables. Trials take three epochs of a minute or so, nodes die;
  the driver is one server whose real seconds count as simulated ones.
- samplers: what asking Optuna's samplers for the next trial takes after n trials.

Driver time is the time in which the driver is not waiting for Ray, less what is spent in Optuna's
own ask, suggest and tell; memory is the slope of its largest resident size over the trials. Usage:
python benchmarks/scale.py [PART ...] [--trials N]
"""

import argparse
import contextlib
import functools
import heapq
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import optuna
import ray
from rich.console import Console
from rich.table import Table
from trials import trivial

from mtsearch.config.schema import DataConfig
from mtsearch.config.space import Space
from mtsearch.execution import engine
from mtsearch.execution.callback import TuneCallback
from mtsearch.execution.cluster import cluster, set_ray_defaults
from mtsearch.execution.searcher import JobSearcher
from mtsearch.jobs.conclusion import conclude
from mtsearch.pareto import front_rows
from mtsearch.runs.directory import RunDirectory
from mtsearch.runs.opening import create_run
from mtsearch.strategy import manager as ledgers
from mtsearch.strategy.manager import TrialManager

MILLISECONDS, KILOBYTES = 20.0, 30.0  # bounds a trial
NODES, SLOTS = 200, 8  # of the simulation
CLASS = "trials.trivial:TrivialTrial"
ASKED = 10
SAMPLERS = {  # by name: after how many trials
    "random": (100, 1000, 10000),
    "qmc": (100, 1000, 10000),
    "nsga2": (100, 1000, 10000),
    "nsga3": (100, 1000, 10000),
    "tpe": (100, 1000, 10000),
    "gp": (100, 1000),
}
VOLATILE = ("command", "cost/seconds")
console = Console()


def space(folder, trials, sampler="random", **search):
    return Space(
        {
            "name": "scale",
            "data": {"dataset": "cifar10_mnist"},
            "resources": {"cpu": 0.5},
            "search": {"sampler": sampler, "trials": trials, **search},
            "results": {"root": str(folder)},
            "objectives": ["val/image/error", "val/digit/error"],
            "trial": {
                "optimizer": {"name": "adam", "lr": {"loguniform": [1e-4, 1e-2], "default": 1e-3}},
                "preference": {"simplex": ["image", "digit"], "default": "equal"},
                "balancing": {"choice": ["linear", "chebyshev"], "default": "linear"},
                "batch_size": {"choice": [32, 64, 128], "default": 64},
            },
        }
    )


class Clock:
    """Seconds spent inside some calls, nested ones counted once, in the thread that makes them."""

    def __init__(self):
        self.seconds, self._inside = 0.0, False

    def around(self, call):
        @functools.wraps(call)
        def timed(*args, **kwargs):
            if self._inside:
                return call(*args, **kwargs)
            self._inside, begin = True, time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                self._inside = False
                self.seconds += time.perf_counter() - begin

        return timed


@contextlib.contextmanager
def watched():
    """The clocks of Optuna and of waiting for Ray, and a list of (ended trials, seconds, of them
    Optuna's, of them waiting, bytes)."""
    optunas, waiting, seen = Clock(), Clock(), []
    places = [
        (optuna.Study, "ask", optunas),
        (optuna.Study, "tell", optunas),
        (optuna.Trial, "_suggest", optunas),
        (optuna.Trial, "set_constraint", optunas),
        (ray, "wait", waiting),
    ]
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in places]
    for owner, name, clock in places:
        setattr(owner, name, clock.around(getattr(owner, name)))
    end = ledgers.TrialManager._end

    def ended(self, *args, **fields):
        end(self, *args, **fields)
        count = len(self.state.ended)
        if count % 100 == 0:
            seen.append(
                (
                    count,
                    time.perf_counter(),
                    optunas.seconds,
                    waiting.seconds,
                    1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
                )
            )

    ledgers.TrialManager._end = ended
    try:
        yield seen
    finally:
        ledgers.TrialManager._end = end
        for owner, name, call in before:
            setattr(owner, name, call)


def costs(seen):
    """Milliseconds a trial beyond Optuna and waiting, Optuna's own, both over all and at the end,
    and kilobytes a trial."""
    count, total, optunas, waiting, size = (
        np.array(column, dtype=float) for column in zip(*seen, strict=True)
    )
    busy = total - optunas - waiting
    late = count >= 0.7 * count[-1]
    settled = count >= min(1000, count[-1] / 2)
    return {
        "milliseconds": 1e3 * (busy[-1] - busy[0]) / (count[-1] - count[0]),
        "milliseconds_late": 1e3 * float(np.polyfit(count[late], busy[late], 1)[0]),
        "optuna_milliseconds": 1e3 * (optunas[-1] - optunas[0]) / (count[-1] - count[0]),
        "optuna_milliseconds_late": 1e3 * float(np.polyfit(count[late], optunas[late], 1)[0]),
        "kilobytes": float(np.polyfit(count[settled], size[settled], 1)[0]) / 1e3,
    }


def only(folder):
    (path,) = (entry.path for entry in os.scandir(Path(folder) / "scale"))
    return RunDirectory(path)


def checked(run, trials):
    """The rows of a run in which every trial ended once and the front is what all rows say; none is
    lost or doubled."""
    ends = [e["trial"] for e in run.events() if e["event"] == "end"]
    assert sorted(ends) == [f"{i:04d}" for i in range(trials)], "every trial ends once"
    rows = run.rows()
    tested = sorted(row["trial"] for row in rows if "test/image/error" in row)
    assert tested == sorted(row["trial"] for row in front_rows(rows, run.config.objectives)), (
        "the front of all rows was tested"
    )
    return [{key: value for key, value in row.items() if key not in VOLATILE} for row in rows]


def machine(trials):
    with (
        tempfile.TemporaryDirectory() as folder,
        cluster(),
        open(os.devnull, "w") as silence,
        watched() as seen,
    ):
        begin = time.perf_counter()
        code = engine.run(
            space(folder, trials), name="scale", trial_class=CLASS, console=Console(file=silence)
        )
        seconds = time.perf_counter() - begin
        assert code == 0
        checked(only(folder), trials)
        size = sum(p.stat().st_size for p in only(folder).path.rglob("*") if p.is_file())
        spent = only(folder).read_state(slim=True).seconds
    return {
        "trials": trials,
        **costs(seen),
        "seconds": seconds,
        "tables_seconds": seconds - spent,
        "disk_kilobytes": size / trials / 1e3,
    }


def raylets(trials):
    from ray.cluster_utils import Cluster

    def search(folder):
        with open(os.devnull, "w") as silence:
            assert (
                engine.run(
                    space(folder, trials),
                    name="scale",
                    trial_class=CLASS,
                    console=Console(file=silence),
                )
                == 0
            )
        return checked(only(folder), trials)

    set_ray_defaults()
    with tempfile.TemporaryDirectory() as folder:
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        for _ in range(7):
            made.add_node(num_cpus=1)
        made.wait_for_nodes()
        ray.init(address=made.address, log_to_driver=False)
        with watched() as seen:
            begin = time.perf_counter()
            rows = search(Path(folder) / "eight")
            seconds = time.perf_counter() - begin
        ray.shutdown()
        made.shutdown()
        with cluster():
            assert rows == search(Path(folder) / "one"), "rows depend on the nodes"
    return {"trials": trials, **costs(seen), "seconds": seconds}


def stand_in(config):
    """What of a Tune trial the driver reads and empties."""
    return SimpleNamespace(
        config=config,
        trial_id=config["trial"] + config["purpose"],
        num_failures=0,
        status="RUNNING",
        temporary_state=SimpleNamespace(ray_actor=None),
        run_metadata=SimpleNamespace(),
        placement_group_factory=None,
    )


def nodes(trials):
    """200 nodes, simulated. Times are simulated seconds; what the driver does takes its real time,
    one thing after another."""
    generator = np.random.default_rng(0)
    made = space(tempfile.mkdtemp(), trials)
    tasks = {"image": "classification", "digit": "classification"}
    run = create_run(made, {"dataset": "simulated", "tasks": tasks}, name="scale")
    with watched() as seen:
        book = TrialManager(run, made, DataConfig(dataset="cifar10_mnist"))
        display = SimpleNamespace(
            trial=lambda trial: None, note=lambda line: None, refresh=lambda force=False: None
        )
        watch = SimpleNamespace(memory=lambda trial, size: None, renew=lambda: None)
        searcher = JobSearcher(book, CLASS)
        recorder = TuneCallback(book, display, watch, SimpleNamespace(is_set=lambda: False))
        free, queue, number = list(range(NODES * SLOTS)), [], 0
        running = {}  # by slot: (trial, its epoch's number, attempt)
        driver, work, waited, deaths = 0.0, 0.0, 0.0, 0
        for node in range(NODES):
            heapq.heappush(
                queue, (generator.exponential(4 * 3600), number := number + 1, "death", node)
            )

        def serve(now, call, *args, **fields):
            """The driver does something that came up at `now`; returns its answer and when it is
            done."""
            nonlocal driver, waited
            begin = time.perf_counter()
            answer = call(*args, **fields)
            driver = max(driver, now) + time.perf_counter() - begin
            waited += driver - now
            return answer, driver

        def epoch(now, slot):
            nonlocal number, work
            seconds = generator.lognormal(np.log(60), 0.4)
            work += seconds
            heapq.heappush(
                queue, (now + seconds, number := number + 1, "report", (slot, running[slot]))
            )

        def give(now):
            while free:
                config, done = serve(now, searcher.suggest, "")
                if not isinstance(config, dict):
                    return
                slot = free.pop()
                trial = stand_in(config)
                running[slot] = (trial, 1, 0)
                serve(done, recorder.on_trial_start, 0, [], trial)
                epoch(done, slot)

        give(0.0)
        now = 0.0
        while running:
            now, _, kind, what = heapq.heappop(queue)
            if kind == "death":
                deaths += 1
                heapq.heappush(
                    queue,
                    (now + generator.exponential(4 * 3600), number := number + 1, "death", what),
                )
                for slot in [
                    s for s in running if s // SLOTS == what
                ]:  # its trials begin again where they were, once it is back
                    trial, step, attempt = running[slot]
                    running[slot] = (trial, step, attempt + 1)
                    _, done = serve(now, recorder.on_trial_recover, 0, [], trial)
                    epoch(done + 30, slot)
                continue
            serve(now, recorder.on_step_end, 0, [])
            slot, state = what
            if running.get(slot) != state:
                continue  # it died with its node
            trial, step, attempt = state
            config = json.loads(trial.config["job"])["config"]
            if trial.config["purpose"] == "test":
                metrics = trivial.report_of(
                    {**made.trial().model_dump(), **config}, trivial.REPORTS
                )
                result = {"test": {"test/image/error": metrics["val/image/error"]}, "failed": None}
            else:
                last = step == trivial.REPORTS
                reports = [trivial.report_of({**made.trial().model_dump(), **config}, step)]
                result = {"reports": reports, "failed": None, "selected": step if last else None}
            _, done = serve(now, recorder.on_trial_result, 0, [], trial, result)
            if result.get("selected") or trial.config["purpose"] == "test":
                recorder.on_trial_complete(0, [], trial)
                del running[slot]
                free.append(slot)
                give(done)
            else:
                running[slot] = (trial, step + 1, attempt)
                epoch(done, slot)
        begin = time.perf_counter()
        with open(os.devnull, "w") as silence:
            conclude(book, Console(file=silence))
        tables = time.perf_counter() - begin
    checked(run, trials)
    return {
        "trials": trials,
        **costs(seen),
        "node_deaths": deaths,
        "simulated_hours": now / 3600,
        "waiting_for_the_driver_percent": 100 * waited / work,
        "tables_seconds": tables,
    }


def samplers(trials):
    """Milliseconds to ask for one trial and be told it after n trials, by sampler.

    nsga2 and nsga3 have made the trials before themselves; the others look at all trials and at
    nothing else, so those of a random search serve.
    """
    found = {}
    for name, counts in SAMPLERS.items():
        counts = [count for count in counts if count <= trials]
        own = name in ("nsga2", "nsga3")
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(None):
            made = space(
                folder,
                trials + 100,
                {"name": name, **({} if name in ("random", "qmc") else {"startup": 50})},
            )
            plain = space(folder, trials + 100)
            book = TrialManager(
                create_run(made, {}, name="scale"),
                made,
                DataConfig(dataset="cifar10_mnist"),
            )
            for number in range(counts[-1] + ASKED):
                asked = any(count <= number < count + ASKED for count in counts)
                book.study._config = (made if own or asked else plain).config
                begin = time.perf_counter()
                trial = book.study.ask()
                trial.state = "done"
                trial.reports = {
                    1: trivial.report_of({**made.trial().model_dump(), **trial.config}, 3)
                }
                book.study.tell(trial)
                if asked:
                    key = f"{name}_{max(count for count in counts if count <= number)}"
                    found[key] = found.get(key, 0.0) + 1e3 * (time.perf_counter() - begin) / ASKED
    return found


PARTS = {
    "machine": (machine, 10000),
    "raylets": (raylets, 400),
    "nodes": (nodes, 10000),
    "samplers": (samplers, 10000),
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all where none is named"
    )
    parser.add_argument("--trials", type=int, help="another number of trials for each part")
    given = parser.parse_args()
    here = Path(__file__).resolve().parent  # where trial actors find `trials`
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(here), str(here.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    figures = {}
    for name in given.parts or PARTS:
        part, trials = PARTS[name]
        figures[name] = part(given.trials or trials)
        table = Table(name, "")
        for key, value in figures[name].items():
            table.add_row(
                key.replace("_", " "), f"{value:,.2f}" if isinstance(value, float) else f"{value:,}"
            )
        console.print(table)
    kept = all(
        part.get("milliseconds_late", 0.0) <= MILLISECONDS
        and part.get("kilobytes", 0.0) <= KILOBYTES
        for name, part in figures.items()
        if name in ("machine", "nodes")
    )
    console.print(
        f"bounds: {MILLISECONDS:g} ms and {KILOBYTES:g} KB of the driver a trial, at the end as on"
        f" average: {'kept' if kept else 'missed'}"
    )
    rounded = {
        name: {key: round(value, 3) for key, value in part.items()}
        for name, part in figures.items()
    }
    print(json.dumps({"benchmark": "scale", **rounded, "kept": kept, "cores": os.cpu_count()}))
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
