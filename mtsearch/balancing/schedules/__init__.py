"""Task schedules: which tasks each step of an epoch trains. Importing this package registers
them."""

from mtsearch.balancing.schedules.base import (
    Group,
    Stream,
    TaskSchedule,
    build_schedule,
    task_schedule,
)

__all__ = ["Group", "Stream", "TaskSchedule", "build_schedule", "task_schedule"]
