"""What binds a checkpoint to its trial."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class CheckpointOwner:
    """The trial that a checkpoint belongs to.

    Args:
        run: id of the run.
        trial: name of the trial.
        config: key of its configuration, see `mtsearch.runs.checkpoints.config_key`.
        required: whether every checkpoint of the run names its owner; those of runs that an older
            version began need not.
    """

    run: str
    trial: str
    config: str
    required: bool = True

    def stored(self) -> dict[str, str]:
        """What a checkpoint contains of it."""
        return {"run": self.run, "trial": self.trial, "config": self.config}

    def to_dict(self) -> dict[str, Any]:
        """As a JSON tree."""
        return asdict(self)
