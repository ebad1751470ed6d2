"""What the parts share: the space, clocks around calls, costs of a trial, and checks of a run."""

import contextlib
import functools
import os
import resource
import time
from pathlib import Path

import numpy as np
import optuna
import ray

from mtsearch.config.space import Space
from mtsearch.pareto import front_rows
from mtsearch.runs.directory import RunDirectory
from mtsearch.strategy.manager import TrialManager

CLASS = "trials.trivial:TrivialTrial"
VOLATILE = ("command", "cost/seconds")


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
    end = TrialManager._end

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

    TrialManager._end = ended
    try:
        yield seen
    finally:
        TrialManager._end = end
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
