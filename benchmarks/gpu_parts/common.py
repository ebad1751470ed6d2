"""What the parts share: trials that are stepped one by one, clocks and rows of results."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.training import Trial, World

SAMPLE = DataConfig(dataset="patches10_digits", limit=64)


@dataclass
class Setup:
    """The device, and whether only a smoke test is wanted (`--device cpu`)."""

    device: torch.device
    smoke: bool
    end: float = math.inf  # of the time, as `time.monotonic` counts

    def fits(self, seconds: float) -> bool:
        """Whether that many seconds are left."""
        return time.monotonic() + seconds < self.end

    @property
    def cuda(self) -> bool:
        return self.device.type == "cuda"

    def wait(self) -> None:
        """Wait for the kernels of the device."""
        if self.cuda:
            torch.cuda.synchronize()

    def seconds(self, work: Callable[[], Any]) -> float:
        """The time that `work` takes on the device."""
        self.wait()
        start = time.perf_counter()
        work()
        self.wait()
        return time.perf_counter() - start


@dataclass
class Results:
    """The rows of a part: what was checked, its figures, and whether it passed (None: no bar)."""

    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, what: str, passed: bool | None, **figures: Any) -> None:
        """Keep and print one row."""
        self.rows.append({"what": what, "passed": passed, **figures})
        word = {True: "pass", False: "FAIL", None: "-"}[passed]
        shown = "  ".join(
            f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
            for key, value in figures.items()
        )
        print(f"  {word:<5}{what:<44}{shown}", flush=True)

    @contextmanager
    def attempt(self, what: str) -> Iterator[None]:
        """An error inside is a failed row; the other rows are still measured."""
        try:
            yield
        except Exception as error:
            self.add(what, False, error=f"{type(error).__name__}: {str(error)[:200]}")

    @property
    def passed(self) -> bool:
        return all(row["passed"] is not False for row in self.rows)


def new_trial(
    changes: Mapping[str, Any],
    device: str,
    data: DataConfig = SAMPLE,
    weights: Trial | None = None,
    world: World | None = None,
) -> Trial:
    """A trial without dropout, whose random numbers differ between devices.

    Args:
        changes: settings of the trial.
        device: `cpu` or `cuda`.
        data: the dataset.
        weights: the trial whose initial weights are copied; None for new ones.
        world: the ranks.
    """
    settings = {
        "backbone": "cm",
        "batch_size": 64,
        "epochs": {"search": 1000, "retrain": 0},
        "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9},
        "device": device,
        **changes,
    }
    trial = Trial(TrialConfig.model_validate(settings), data, world)
    for one in (trial, *([trial._teachers] if trial._teachers else [])):
        without_dropout(one)
    if weights is not None:
        trial.model.load_state_dict(weights.model.state_dict())
        if trial._teachers is not None:
            trial._teachers.model.load_state_dict(weights._teachers.model.state_dict())
    return trial


def without_dropout(trial: Trial) -> None:
    """Switch the dropout of the network off."""
    for module in trial.model.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0.0


def step_losses(trial: Trial, steps: int) -> list[list[float]]:
    """The training losses of the tasks in each of `steps` steps; an epoch is one batch."""
    found = []
    for _ in range(steps):
        found.append(list(trial._train_epoch().values()))
        trial._epoch += 1
    return found


def difference(found: list[list[float]], expected: list[list[float]]) -> float:
    """The largest relative difference; NaN where a loss is not finite."""
    a, b = torch.tensor(found).double(), torch.tensor(expected).double()
    return float(((a - b).abs() / b.abs().clamp(min=1e-3)).max())


def received(queue: Any, workers: Any) -> Any:
    """The next object that spawned processes send. Raises the error of one that fails."""
    while queue.empty():
        workers.join(timeout=0.1)
        if queue.empty() and not any(process.is_alive() for process in workers.processes):
            raise RuntimeError("the processes ended without a result")
    return queue.get()


@contextmanager
def float64() -> Iterator[None]:
    """New networks, batches and losses in float64."""
    single = torch.Tensor.float
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double  # losses are computed in at least single precision
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)
        torch.Tensor.float = single
