"""Backbones from timm."""

import pytest
import torch
from safetensors.torch import save_file

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.models import build_backbone, build_model

timm = pytest.importorskip("timm")
torch.set_num_threads(1)

TASKS = [TaskCard(name="scene", outputs=7), TaskCard(name="age", kind="regression", outputs=1)]


def test_weights_come_from_a_file_of_the_whole_network(tmp_path):
    torch.manual_seed(3)
    whole = timm.create_model("resnet10t", pretrained=False, num_classes=5).eval()
    save_file(whole.state_dict(), tmp_path / "weights.safetensors")
    settings = schema.BackboneTimmConfig(
        model="resnet10t", weights=tmp_path / "weights.safetensors"
    )
    x = torch.randn(2, 3, 64, 64)
    (vector,) = build_backbone(settings, (3, 64, 64)).trunk(["vector"]).eval()(x)
    expected = whole.forward_head(whole.forward_features(x), pre_logits=True)
    torch.testing.assert_close(vector, expected)


def test_other_weights_are_refused(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "weights.safetensors")
    settings = schema.BackboneTimmConfig(
        model="resnet10t", weights=tmp_path / "weights.safetensors"
    )
    with pytest.raises(BadInput, match="does not fit the timm network"):
        build_backbone(settings, (3, 32, 32)).trunk(["vector"])


def test_vision_transformers_have_a_vector_only():
    settings = schema.BackboneTimmConfig(model="vit_tiny_patch16_224", tune="head")
    assert build_backbone(settings, (3, 32, 32)).map_shape is None
    model = build_model(schema.HPSConfig(), settings, TASKS, (3, 32, 32))
    assert model(torch.randn(2, 3, 32, 32))["scene"].shape == (2, 7)


@pytest.mark.parametrize("model", ["resnet10t", "mobilenetv3_small_050"])
def test_convolutional_networks_have_a_map(model):
    found = build_backbone(schema.BackboneTimmConfig(model=model), (3, 64, 64))
    assert found.map_shape is not None and found.map_shape[1:] == (2, 2)


def test_unknown_networks_are_refused():
    settings = schema.BackboneTimmConfig(model="resnet10x")
    with pytest.raises(BadInput, match="should be a network of timm"):
        build_backbone(settings, (3, 32, 32))
