"""Conformance suites: what every architecture, backbone, balancing method, task kind and dataset keeps to, as tests to inherit.

    from mtsearch.testing import ArchitectureConformance

    class TestMine(ArchitectureConformance):
        settings = MySettings()

pytest collects the inherited tests. Our own methods pass the same suites.
"""

from mtsearch.testing.architectures import ArchitectureConformance
from mtsearch.testing.backbones import BackboneConformance
from mtsearch.testing.balancing import BalancingConformance
from mtsearch.testing.datasets import DatasetConformance
from mtsearch.testing.samples import TASKS
from mtsearch.testing.tasks import TaskKindConformance

__all__ = [
    "TASKS",
    "ArchitectureConformance",
    "BackboneConformance",
    "BalancingConformance",
    "DatasetConformance",
    "TaskKindConformance",
]
