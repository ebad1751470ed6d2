"""Settings of task schedules: which tasks a step trains."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from mtsearch.config.base import MethodConfig
from mtsearch.config.registry import method

Probability = Annotated[float, Field(ge=0, le=1)]


@method("task_schedule", "joint", "mtsearch.balancing.schedules.joint:Joint")
class JointConfig(MethodConfig):
    """Every step trains every task: one batch of each set of images, one sum, one update."""

    name: Literal["joint"] = "joint"


class Alternating(MethodConfig):
    """What schedules share whose steps train one task.

    ``replay: fresh`` goes through a task's images anew, in another order and with other
    augmentation, each time they are used up within an epoch; ``cached`` repeats the batches of the
    epoch's first pass as they were.
    """

    replay: Literal["fresh", "cached"] = "fresh"


@method("task_schedule", "coin", "mtsearch.balancing.schedules.coin:Coin")
class CoinConfig(Alternating):
    """Each round a coin per task says whether it gets a step; `rounds` an epoch, by default as many
    as the longest task has batches."""

    name: Literal["coin"] = "coin"
    probabilities: Probability | dict[str, Probability] = 0.5
    rounds: int | None = Field(None, gt=0)
    order: Literal["fixed", "shuffled"] = "fixed"
    at_least_one: bool = Field(False, description="toss again where no coin of a round succeeds")

    @field_validator("probabilities")
    @classmethod
    def _some(cls, value: float | dict[str, float]) -> float | dict[str, float]:
        if not (any(value.values()) if isinstance(value, dict) else value):
            raise ValueError(f"should give some task a probability above 0. Found {value}")
        return value


class Drawn(Alternating):
    """What schedules share that draw a task; `steps` an epoch, by default as many as all tasks'
    batches together."""

    steps: int | None = Field(None, gt=0)
    every: int = Field(1, gt=0, description="steps in a row that each draw stands for")


@method("task_schedule", "categorical", "mtsearch.balancing.schedules.categorical:Categorical")
class CategoricalConfig(Drawn):
    """Each draw takes its task from `probabilities`, for `every` steps."""

    name: Literal["categorical"] = "categorical"
    probabilities: dict[str, Probability] | None = Field(
        None, description="on the simplex over the tasks; equal where not given"
    )

    @field_validator("probabilities")
    @classmethod
    def _simplex(cls, value: dict[str, float] | None) -> dict[str, float] | None:
        if value is not None and abs(sum(value.values()) - 1) > 1e-6:
            raise ValueError(
                f"should sum to 1. Found {value}, which sums to {sum(value.values()):g}"
            )
        return value


@method("task_schedule", "proportional", "mtsearch.balancing.schedules.proportional:Proportional")
class ProportionalConfig(Drawn):
    """Each draw takes a task, for `every` steps, with a probability that grows with its number of
    images n as ``n ** alpha``."""

    name: Literal["proportional"] = "proportional"
    alpha: float = Field(0.5, ge=0, le=1)


@method("task_schedule", "round_robin", "mtsearch.balancing.schedules.round_robin:RoundRobin")
class RoundRobinConfig(Alternating):
    """The tasks in turn, `every` steps each; `rounds` an epoch, by default until the longest task's
    batches are used."""

    name: Literal["round_robin"] = "round_robin"
    every: int = Field(1, gt=0)
    rounds: int | None = Field(None, gt=0)


@method("task_schedule", "sequential", "mtsearch.balancing.schedules.sequential:Sequential")
class SequentialConfig(MethodConfig):
    """All batches of the first task, then all of the second, and so on: every image once an
    epoch."""

    name: Literal["sequential"] = "sequential"
    drop_last: bool = Field(
        False, description="leave out each task's last batch where it is smaller than the others"
    )
