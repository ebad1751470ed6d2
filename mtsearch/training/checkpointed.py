"""Base class of `Trial` and `Population`: setup, saving and restoring."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch

from mtsearch.config.cards import TaskCard
from mtsearch.config.checkpoint_owner import CheckpointOwner
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.data import device_of, open_dataset
from mtsearch.models import MultiTaskModel, build_grouped
from mtsearch.training.protocol import Diverged
from mtsearch.training.randomness import fork_rng
from mtsearch.training.state import has_state, load_state, save_state
from mtsearch.training.world import World

_PLACES = {"root", "store", "format", "load", "workers", "features"}
"""Settings of the data that change no numbers."""


class CheckpointedTrial(ABC):
    """A trial on an open dataset whose state is saved to and restored from a folder.

    Args:
        config: the configuration.
        data: the dataset and its location.
        world: the ranks that train this trial together; None for one process.
        clock: returns seconds, for ``cost/seconds``.
    """

    tasks: Sequence[TaskCard]  # the tasks of the network

    def __init__(
        self,
        config: TrialConfig,
        data: DataConfig,
        world: World | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.config = config
        self.data = data
        self.world = world or World()
        self._clock = clock
        torch.set_num_threads(config.threads)
        self.device = device_of(config.device)
        self.dataset = open_dataset(data)
        self.reports: list[dict[str, Any]] = []

    def __iter__(self) -> Self:
        return self

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return the state from which training continues bit-identically, as a tree of tensors and
        plain values."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict` of the same configuration. Raises ValueError if the data
        differ."""

    def save(self, folder: Path, owner: CheckpointOwner | None = None) -> None:
        """Write the state to a folder, atomically. With several ranks, only rank 0 calls this.

        The state of a finished trial has only the selected weights and the reports.

        Args:
            folder: the folder; an existing state in it is replaced.
            owner: the trial of a run to which the checkpoint belongs; None for none.
        """
        save_state(folder, self.state_dict(), owner)

    @classmethod
    def restore(
        cls,
        folder: Path,
        data: DataConfig | None = None,
        world: World | None = None,
        owner: CheckpointOwner | None = None,
    ) -> Self:
        """Restore the trial that was saved in a folder.

        Args:
            folder: the folder that was passed to `save`.
            data: replaces the saved location of the dataset.
            world: the ranks that train the trial together.
            owner: the trial of a run to which the checkpoint must belong; None for any.

        Returns:
            The trial.

        Raises:
            BadInput: the checkpoint is missing, damaged or of another trial than `owner`.
            ValueError: the checkpoint was made with other data.
        """
        state = load_state(folder, owner)
        trial = cls(
            TrialConfig.model_validate(state["config"]),
            data or DataConfig.model_validate(state["data"]),
            world,
        )
        trial.load_state_dict(state)
        return trial

    @staticmethod
    def saved(folder: Path) -> bool:
        """Return whether a folder contains a complete state."""
        return has_state(folder)

    def _identity(self) -> dict[str, Any]:
        """Return the part of the state that identifies it: configuration, data and reports. The
        location of the data is left out, because it depends on the machine."""
        return {
            "config": self.config.model_dump(mode="json"),
            "data": self.data.model_dump(mode="json", exclude=_PLACES),
            "checksum": self.dataset.checksum,
            "reports": self.reports,
        }

    def _load_identity(self, state: Mapping[str, Any]) -> None:
        if state["checksum"] != self.dataset.checksum:
            raise ValueError(
                f"Trial state was made on data with checksum {state['checksum']}. Found"
                f" {self.dataset.checksum}."
            )
        self.reports = [dict(report) for report in state["reports"]]

    def _uninitialised_model(self) -> MultiTaskModel:
        """Return a network whose weights the caller loads next."""
        with fork_rng():
            model = build_grouped(
                self.config.architecture,
                self.config.backbone,
                self.tasks,
                self.dataset.card.shape,
                self.config.groups,
            )
        model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return model


def check_finite(report: Mapping[str, Any], when: str) -> None:
    """Raise Diverged if a number of the report is infinite or NaN; `when` is the time in the
    message, such as "at epoch 3"."""
    for key, value in report.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise Diverged(
                f"`{key}` is {value} {when}. Lower `trial.optimizer.lr` or set `trial.clip`."
            )
