"""Optuna's samplers after many trials."""

import contextlib
import tempfile
import time

from trials import trivial

from mtsearch.config.schema import DataConfig
from mtsearch.runs.opening import create_run
from mtsearch.strategy.manager import TrialManager
from scale_parts.common import space

REPEATS = 10  # proposals that are timed after each number of trials
SAMPLERS = {  # by name: after how many trials
    "random": (100, 1000, 10000),
    "qmc": (100, 1000, 10000),
    "nsga2": (100, 1000, 10000),
    "nsga3": (100, 1000, 10000),
    "tpe": (100, 1000, 10000),
    "gp": (100, 1000),
}


def samplers(trials):
    """Milliseconds to propose one trial and record its result after n trials, by sampler.

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
            manager = TrialManager(
                create_run(made, {}, name="scale"),
                made,
                DataConfig(dataset="cifar10_mnist"),
            )
            for number in range(counts[-1] + REPEATS):
                timed = any(count <= number < count + REPEATS for count in counts)
                manager.study._config = (made if own or timed else plain).config
                begin = time.perf_counter()
                trial = manager.study.ask()
                trial.state = "done"
                trial.reports = {
                    1: trivial.report_of({**made.trial().model_dump(), **trial.config}, 3)
                }
                manager.study.tell(trial)
                if timed:
                    key = f"{name}_{max(count for count in counts if count <= number)}"
                    found[key] = found.get(key, 0.0) + 1e3 * (time.perf_counter() - begin) / REPEATS
    return found
