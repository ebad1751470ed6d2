"""Networks with attention over several maps are compacted and exported."""

import pytest
import torch
from networks import difference, rows_of, serving, settled
from test_export import dataset

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.deploy import compact, export_model
from mtsearch.models import build_model

TASKS = [TaskCard(name="scene", outputs=3), TaskCard(name="pixels", kind="segmentation", outputs=3)]
WRN, SEGNET = (
    schema.BackboneWRNConfig(depth=10, widen=1),
    schema.BackboneSegNetConfig(widths=(4, 4, 6, 6, 8)),
)
NETWORKS = {
    "mtln": (schema.MTLNConfig(), WRN, (3, 16, 8)),
    "own": (
        schema.MTLNConfig(attention=1, extractors="per_task", form="residual"),
        WRN,
        (3, 16, 8),
    ),
    "segnet": (schema.MTLNSegNetConfig(), SEGNET, (3, 35, 32)),
    "broadcast_scene": (schema.BroadcastSceneConfig(), WRN, (3, 16, 8)),
    "mtan": (schema.MTANConfig(), schema.BackboneCMConfig(), (3, 16, 16)),
    "kdmtl": (schema.KDMTLConfig(), schema.BackboneCMConfig(), (3, 16, 16)),
    "task_norms": (schema.HPSConfig(norm="task_affine"), WRN, (3, 16, 8)),
    "efficientnet": (
        schema.HPSConfig(norm="task_statistics"),
        schema.BackboneEfficientNetCIFARConfig(width=0.25, depth=0.5),
        (3, 16, 16),
    ),
}


def sparse(name: str):
    architecture, backbone, shape = NETWORKS[name]
    torch.manual_seed(0)
    model = settled(build_model(architecture, backbone, TASKS, shape))
    for layer in model.prunable:
        rows_of(model, layer)[::3] = 0
    return model, shape


@pytest.mark.parametrize("name", NETWORKS)
def test_compacted_networks_are_smaller_with_equal_outputs(name):
    model, shape = sparse(name)
    model = serving(model, shape).double()
    compacted = compact(model, shape).model
    assert difference(model, compacted, shape) < 1e-9
    assert sum(p.numel() for p in compacted.parameters()) < 0.85 * sum(
        p.numel() for p in model.parameters()
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_exported_programs_have_equal_outputs(name, tmp_path):
    model, shape = sparse(name)
    export_model(
        model, dataset(shape, TASKS), TASKS, tmp_path / "out", {}, onnx=True
    )  # which compares their answers
    assert {"model.pt2", "model.onnx"} < {path.name for path in (tmp_path / "out").iterdir()}
