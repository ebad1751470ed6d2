"""Settings of task schedules: which tasks a step trains."""

from __future__ import annotations

from typing import Literal

from mtsearch.config.base import Model, method


@method("task_schedule", "joint")
class Joint(Model):
    """Every step trains every task."""

    name: Literal["joint"] = "joint"
