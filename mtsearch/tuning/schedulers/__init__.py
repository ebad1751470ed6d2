"""Which trials are worth finishing: schedulers that compare unfinished trials by all objectives at once."""

from mtsearch.tuning.schedulers.adapter import JobScheduler
from mtsearch.tuning.schedulers.moasha import MOASHA

__all__ = ["MOASHA", "JobScheduler"]
