"""Real trials with the faults of `fake`."""

from mtsearch.population import Population
from mtsearch.training import Trial
from tests.helpers.fake import obey


class MortalTrial(Trial):
    """Obeys orders before each report."""

    def __next__(self) -> dict:
        obey(self.config.batch_size, len(self.reports) + 1, self.world)
        return super().__next__()


class MortalPopulation(Population):
    """Likewise."""

    def __next__(self) -> dict:
        obey(self.config.batch_size, len(self.reports) + 1, self.world)
        return super().__next__()
