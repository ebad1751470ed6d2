"""The interface of trials that jobs and searches use."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, Self

from mtsearch.config.checkpoint_owner import CheckpointOwner
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.models import MultiTaskModel
from mtsearch.training.world import World


class Diverged(RuntimeError):
    """A loss or metric is infinite or NaN. The message is shown in the results table."""


class TrialProtocol(Protocol):
    """Training of one configuration on one dataset: an iterator over reports that can be saved
    after each report and restored. `Trial` and `Population` implement it.

    With several ranks, each rank has its own object, and all ranks call `__next__` and `evaluate`
    together.
    """

    reports: list[dict[str, Any]]
    """All reports so far, the first at index 0."""

    def __init__(
        self, config: TrialConfig, data: DataConfig, world: World | None = None
    ) -> None: ...

    def __iter__(self) -> Self: ...

    def __next__(self) -> dict[str, Any]:
        """Train up to the next report and return it.

        Raises:
            StopIteration: the trial is finished.
            Diverged: a loss or metric is not finite.
        """
        ...

    @property
    def finished(self) -> bool:
        """Whether there are no further reports."""
        ...

    @property
    def selected(self) -> dict[str, Any]:
        """The report that represents the trial in result tables."""
        ...

    @property
    def total_epochs(self) -> int:
        """Number of epochs if the trial is not stopped early."""
        ...

    def selected_model(self) -> MultiTaskModel:
        """Return the network of the selected report, in eval mode."""
        ...

    def evaluate(
        self, split: str, tables: dict[str, list[list[int]]] | None = None
    ) -> dict[str, float]:
        """Return ``<split>/<task>/<metric>`` of the selected network on a split of the dataset.
        `tables` receives the tables of counts by task, see `mtsearch.tasks.registry.Meter`."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return the state from which training continues bit-identically, as a tree of tensors and
        plain values."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from the `state_dict` of a trial with the same configuration.

        Raises:
            ValueError: the state was made with other data.
        """
        ...

    def save(self, folder: Path, owner: CheckpointOwner | None = None) -> None:
        """Write the state to a folder, atomically; `owner` is the trial of a run to which it
        belongs."""
        ...

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

        Raises:
            BadInput: the checkpoint is missing, damaged or of another trial than `owner`.
            ValueError: the checkpoint was made with other data.
        """
        ...

    @staticmethod
    def saved(folder: Path) -> bool:
        """Return whether a folder contains a complete state."""
        ...

    def close(self) -> None:
        """Release the networks and optimisers."""
        ...
