"""Conformance suites for architectures, backbones, balancing methods, task kinds, datasets,
formulations and schedulers. A test class inherits a suite and sets its attributes:

    from mtsearch.testing import ArchitectureConformance

    class TestMine(ArchitectureConformance):
        settings = MySettings()

pytest collects the inherited tests. The methods of this package are tested with the same suites.
"""

from mtsearch.testing.architectures import ArchitectureConformance
from mtsearch.testing.backbones import BackboneConformance
from mtsearch.testing.balancing import BalancingConformance
from mtsearch.testing.datasets import DatasetConformance
from mtsearch.testing.formulations import FormulationConformance
from mtsearch.testing.samples import TASKS
from mtsearch.testing.schedulers import SchedulerConformance
from mtsearch.testing.tasks import TaskKindConformance

__all__ = [
    "TASKS",
    "ArchitectureConformance",
    "BackboneConformance",
    "BalancingConformance",
    "DatasetConformance",
    "FormulationConformance",
    "SchedulerConformance",
    "TaskKindConformance",
]
