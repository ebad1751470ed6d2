"""From a trained network to a small one that torch alone, or an ONNX runtime, can run: compaction,
export, card."""

from mtsearch.deploy.compact import compact
from mtsearch.deploy.cuts import Compacted
from mtsearch.deploy.export import export_model
from mtsearch.deploy.module import ExportedModule, export_module
from mtsearch.deploy.parity import Parity, check_parity
from mtsearch.deploy.programs import need_onnx
from mtsearch.deploy.serving import Serving

__all__ = [
    "Compacted",
    "ExportedModule",
    "Parity",
    "Serving",
    "check_parity",
    "compact",
    "export_model",
    "export_module",
    "need_onnx",
]
