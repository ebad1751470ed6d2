"""Learning-rate schedules as pure functions of the step, so that a resumed trial needs no scheduler
state."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from mtsearch.config.optimisation import (
    ConstantConfig,
    CosineConfig,
    ExponentialConfig,
    OneCycleConfig,
    StepConfig,
)
from mtsearch.config.registry import implementation_of


def constant(config: ConstantConfig, done: float, epochs: float) -> float:
    """The constant 1."""
    return 1.0


def step(config: StepConfig, done: float, epochs: float) -> float:
    """`gamma` to the power of the number of finished periods of `every` epochs."""
    return math.pow(config.gamma, math.floor(done / config.every + 1e-9))


def exponential(config: ExponentialConfig, done: float, epochs: float) -> float:
    """`gamma` to the power of the number of finished epochs, including fractions."""
    return math.pow(config.gamma, done)


def cosine(config: CosineConfig, done: float, epochs: float) -> float:
    """Cosine decay from 1 to `final` over `epochs`."""
    return config.final + (1 - config.final) * 0.5 * (
        1 + math.cos(math.pi * min(done / epochs, 1.0))
    )


def onecycle(config: OneCycleConfig, done: float, epochs: float) -> float:
    """Cosine increase from `start` to 1 over the fraction `rise` of `epochs`, then cosine decay to
    `final`."""
    part = min(done / epochs, 1.0)
    if part < config.rise:
        low, high, x = config.start, 1.0, part / config.rise
    else:
        low, high, x = 1.0, config.final, (part - config.rise) / (1 - config.rise)
    return low + (high - low) * 0.5 * (1 - math.cos(math.pi * x))


def lr_factor(config: Any, step: int, steps_per_epoch: int, epochs: float) -> float:
    """Return the learning rate of a step as a multiple of the optimiser's `lr`.

    If the schedule has a warm-up, the factor increases linearly over its epochs, and the schedule
    runs over the remaining ones.

    Args:
        config: the settings of the schedule.
        step: the step, from 0 in each phase.
        steps_per_epoch: the number of steps of an epoch.
        epochs: the length of the phase.
    """
    done = step / steps_per_epoch
    warmup = getattr(config, "warmup", 0.0)
    if done < warmup:
        return (step + 1) / max(math.ceil(warmup * steps_per_epoch), 1)
    factor: Callable[[Any, float, float], float] = implementation_of(config)
    return factor(config, done - warmup, max(epochs - warmup, 1 / steps_per_epoch))
