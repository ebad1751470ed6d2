"""Conformance suites: what every architecture, backbone, balancing method, task kind, dataset and
formulation keeps to, to be inherited.

    from mtsearch.testing import ArchitectureConformance

    class TestMine(ArchitectureConformance):
        settings = MySettings()

pytest collects the inherited tests. Our own methods pass the same suites.
"""

from mtsearch.testing.architectures import ArchitectureConformance
from mtsearch.testing.backbones import BackboneConformance
from mtsearch.testing.balancing import BalancingConformance
from mtsearch.testing.datasets import DatasetConformance
from mtsearch.testing.formulations import FormulationConformance
from mtsearch.testing.samples import TASKS
from mtsearch.testing.tasks import TaskKindConformance

__all__ = [
    "TASKS",
    "ArchitectureConformance",
    "BackboneConformance",
    "BalancingConformance",
    "DatasetConformance",
    "FormulationConformance",
    "TaskKindConformance",
]
