"""200 nodes as a discrete-event simulation without Ray."""

import heapq
import json
import os
import tempfile
import time
from types import SimpleNamespace

import numpy as np
from rich.console import Console
from trials import trivial

from mtsearch.config.schema import DataConfig
from mtsearch.execution.callback import TuneCallback
from mtsearch.execution.searcher import JobSearcher
from mtsearch.jobs.conclusion import conclude
from mtsearch.runs.opening import create_run
from mtsearch.strategy.manager import TrialManager
from scale_parts.common import CLASS, checked, costs, space, watched

NODES, SLOTS = 200, 8


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
        manager = TrialManager(run, made, DataConfig(dataset="cifar10_mnist"))
        display = SimpleNamespace(
            trial=lambda trial: None, note=lambda line: None, refresh=lambda force=False: None
        )
        watch = SimpleNamespace(memory=lambda trial, size: None, renew=lambda: None)
        searcher = JobSearcher(manager, CLASS)
        recorder = TuneCallback(manager, display, watch, SimpleNamespace(is_set=lambda: False))
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
            conclude(run, made, Console(file=silence))
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
