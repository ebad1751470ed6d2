"""What a trial reserves, and how long the program waits for its processes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mtsearch.config.base import Model


class Resources(Model):
    """CPUs and GPUs that one worker of a trial needs, and time limits in seconds."""

    cpu: float = Field(1, gt=0)
    gpu: Annotated[float, Field(ge=0)] | Literal["auto"] = Field(
        0.0,
        description=(
            "GPUs, or a share of one such as 0.25; auto: 0 without a GPU, else the share with which"
            " up to 8 trials fit the memory of this machine's GPU"
        ),
    )
    start_timeout: float = Field(
        300,
        gt=0,
        description="seconds within which all workers of a trial must start (workers > 1)",
    )
    report_timeout: float = Field(
        3600,
        gt=0,
        description=(
            "seconds without a report after which a trial's process is ended and the trial is"
            " started again"
        ),
    )
    collective_timeout: int = Field(
        300,
        gt=0,
        description="seconds that a collective operation waits for the other workers (workers > 1)",
    )
