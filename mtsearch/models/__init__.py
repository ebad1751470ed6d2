"""Multi-task networks: architectures, backbones, heads, initialisation and cost."""

from mtsearch.models import restoring  # noqa: F401  (registers a head)
from mtsearch.models.base import Backbone, Branch, MultiTaskModel, Need
from mtsearch.models.grouped import Grouped, build_grouped
from mtsearch.models.heads import build_head, head, need_of
from mtsearch.models.lsuv import lsuv_
from mtsearch.models.macs import model_macs
from mtsearch.models.normal import normal_
from mtsearch.models.registry import architecture, backbone, build_backbone, build_model

__all__ = [
    "Backbone",
    "Branch",
    "Grouped",
    "MultiTaskModel",
    "Need",
    "architecture",
    "backbone",
    "build_backbone",
    "build_grouped",
    "build_head",
    "build_model",
    "head",
    "lsuv_",
    "model_macs",
    "need_of",
    "normal_",
]
