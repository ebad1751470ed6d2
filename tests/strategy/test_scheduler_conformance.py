"""`MOASHA` with the public suite for schedulers."""

from mtsearch.strategy.moasha import MOASHA
from mtsearch.testing import SchedulerConformance


class TestHalving(SchedulerConformance):
    def make(self, objectives, constraints):
        return MOASHA(3, 2, objectives, constraints)


class TestThirds(SchedulerConformance):
    def make(self, objectives, constraints):
        return MOASHA(1, 3, objectives, constraints)
