"""Shows a search of a few trials on this terminal and waits for a line: the screen to capture."""

import sys
import tempfile
from pathlib import Path

from mtsearch.config.schema import DataConfig
from mtsearch.reporting.console import OutputConsole
from mtsearch.reporting.live import Display
from mtsearch.runs.opening import create_run
from mtsearch.strategy.manager import TrialManager
from tests.helpers.spaces import space

FIGURES = ((61.25, 8.5), (50.0, 10.0), (40.0, 20.0), (45.5, 12.25), (70.0, 30.0))


def report(number: int, image: float, digit: float) -> dict[str, object]:
    """A report of a trial of three epochs."""
    figures = {"val/image/error": image, "val/digit/error": digit}
    return {"report": number, "epoch": number, "phase": "search", **figures}


def main() -> None:
    """Five trials end, one fails, two run."""
    with tempfile.TemporaryDirectory() as folder:
        made = space(Path(folder), trials=12)
        facts = {"tasks": {"image": "classification", "digit": "classification"}}
        manager = TrialManager(
            create_run(made, facts, name="toy"), made, DataConfig(dataset="cifar10_mnist")
        )
        with Display(manager, 2, OutputConsole()) as display:
            for image, digit in FIGURES:
                trial = manager.next_trial()
                display.trial(trial)
                manager.reports(trial.trial, [report(n, image, digit) for n in (1, 2, 3)])
                manager.done(trial.trial, 3)
                display.trial(trial)
            broken = manager.next_trial()
            display.trial(broken)
            manager.failed(broken.trial, "out of memory")
            display.trial(broken)
            for epochs in (1, 2):
                trial = manager.next_trial()
                display.trial(trial)
                manager.reports(trial.trial, [report(n, 90.0, 80.0) for n in range(1, epochs + 1)])
            display.note("dashboard  http://127.0.0.1:8265 (from elsewhere: ssh -L 8265 MACHINE)")
            display.refresh(force=True)
            sys.stdin.readline()
        manager.run.log.close()


if __name__ == "__main__":
    main()
