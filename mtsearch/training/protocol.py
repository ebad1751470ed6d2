"""What jobs and searches require of a trial."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, Self

from mtsearch.config.checkpoint_owner import CheckpointOwner
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.models import MultiTaskModel
from mtsearch.training.world import World


class Diverged(RuntimeError):
    """A loss or metric became infinite or NaN. The message is one sentence for the results
    table."""


class TrialProtocol(Protocol):
    """One configuration trained on one dataset: an iterator over reports that can be saved after
    each report and restored. `Trial` and `Population` implement it.

    With several ranks, each has an object of its own, and all ranks call `__next__` and `evaluate`
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
        """Whether no further report will come."""
        ...

    @property
    def selected(self) -> dict[str, Any]:
        """The report that represents the trial in result tables."""
        ...

    @property
    def total_epochs(self) -> int:
        """Epochs of a trial that is not stopped early."""
        ...

    def selected_model(self) -> MultiTaskModel:
        """The network of the selected report, in eval mode."""
        ...

    def evaluate(self, split: str) -> dict[str, float]:
        """``<split>/<task>/<metric>`` of the selected network on a split of the dataset."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """A tree of tensors and plain values from which training continues bit-identically."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from the `state_dict` of a trial with the same configuration.

        Raises:
            ValueError: the state was made on other data.
        """
        ...

    def save(self, folder: Path, owner: CheckpointOwner | None = None) -> None:
        """Write the state to a folder, atomically; `owner`: the trial of a run that it belongs
        to."""
        ...

    @classmethod
    def restore(
        cls,
        folder: Path,
        data: DataConfig | None = None,
        world: World | None = None,
        owner: CheckpointOwner | None = None,
    ) -> Self:
        """The trial that was saved in a folder.

        Args:
            folder: the folder that was given to `save`.
            data: replaces the saved location of the dataset.
            world: the ranks that train the trial together.
            owner: the trial of a run whose checkpoint this should be; None for any.

        Raises:
            BadInput: the folder is missing, damaged or of another trial than `owner`.
            ValueError: the data differ from those that the state was made on.
        """
        ...

    @staticmethod
    def saved(folder: Path) -> bool:
        """Whether a complete state was saved in a folder."""
        ...

    def close(self) -> None:
        """Release the networks and optimisers."""
        ...
