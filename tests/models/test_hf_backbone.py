"""Backbones from transformers, from local folders with random weights."""

import pytest
import torch

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.models import build_backbone, build_model
from mtsearch.testing import BackboneConformance

transformers = pytest.importorskip("transformers")
torch.set_num_threads(1)

TASKS = [TaskCard(name="scene", outputs=7), TaskCard(name="age", kind="regression", outputs=1)]
VIT = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 32,
    "patch_size": 8,
}
RESNET = {"embedding_size": 4, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders of a vision transformer and of a ResNet."""
    found = {}
    for name, config in {
        "vit": transformers.ViTConfig(**VIT),
        "resnet": transformers.ResNetConfig(**RESNET),
    }.items():
        found[name] = tmp_path_factory.mktemp(name)
        torch.manual_seed(3)
        transformers.AutoModel.from_config(config).save_pretrained(found[name])
    return found


def settings(folder, **others):
    return schema.BackboneHFConfig(model=str(folder), **others)


class TestHF(BackboneConformance):
    shapes = ((3, 32, 32), (3, 64, 32))

    @pytest.fixture(autouse=True)
    def _folder(self, folders):
        type(self).settings = settings(folders["resnet"], pretrained=False)


@pytest.mark.parametrize("name", ["vit", "resnet"])
def test_weights_come_from_the_folder(folders, name):
    whole = transformers.AutoModel.from_pretrained(folders[name]).eval()
    x = torch.randn(2, 3, 32, 32)
    (vector,) = build_backbone(settings(folders[name]), (3, 32, 32)).trunk(["vector"]).eval()(x)
    states = whole(pixel_values=x).last_hidden_state
    torch.testing.assert_close(vector, states.mean((2, 3) if name == "resnet" else 1))
    torch.manual_seed(0)
    random = build_backbone(settings(folders[name], pretrained=False), (3, 32, 32))
    assert not torch.allclose(random.trunk(["vector"]).eval()(x)[0], vector)


def test_transformers_have_a_vector_and_train_every_parameter(folders):
    backbone = settings(folders["vit"])
    assert build_backbone(backbone, (3, 32, 32)).map_shape is None
    model = build_model(schema.HPSConfig(), backbone, TASKS, (3, 32, 32)).train()
    sum(v.sum() for v in model(torch.randn(2, 3, 32, 32)).values()).backward()
    assert not [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]


def test_networks_that_are_not_here_are_refused(folders, tmp_path):
    with pytest.raises(BadInput, match=r"should be a folder with `config.json`"):
        build_backbone(settings(tmp_path / "none"), (3, 32, 32))
    with pytest.raises(BadInput, match="does not support images of shape"):
        build_backbone(settings(folders["vit"]), (3, 40, 40))
