"""Torchvision networks as trunks; nothing is downloaded."""

import copy
import re

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.models import build_model

torch.set_num_threads(1)

SCENE = TaskCard(name="scene", outputs=4)
PIXELS = TaskCard(name="pixels", kind="segmentation", outputs=3)


@pytest.mark.parametrize(
    ("name", "side", "width", "has_map"),
    [
        ("resnet18", 32, 512, True),
        ("mobilenet_v3_small", 32, 1024, True),
        ("shufflenet_v2_x0_5", 32, 1024, True),
        ("squeezenet1_1", 48, 512, True),
        ("densenet121", 32, 1024, True),
        ("googlenet", 32, 1024, True),
        ("convnext_tiny", 32, 768, True),
        ("vit_b_32", 32, 768, False),
    ],
)
def test_trunk_is_the_network_without_last_layer(name, side, width, has_map):
    backbone = schema.BackboneTorchvisionConfig(model=name)
    with torch.device("meta"):
        model = build_model(
            schema.MDMTNConfig(), backbone, [SCENE, PIXELS] if has_map else [SCENE], (3, side, side)
        ).eval()
        out = model(torch.zeros(2, 3, side, side))
        assert model.heads["scene"].in_features == width
    assert out["scene"].shape == (2, 4)
    if has_map:
        assert out["pixels"].shape == (2, 3, side, side)
    else:
        with pytest.raises(BadInput, match="needs a feature map, but this backbone has none"):
            build_model(schema.HPSConfig(), backbone, [PIXELS], (3, side, side))


def test_grey_images_are_repeated_to_three_channels():
    for tasks in ([SCENE], [SCENE, PIXELS]):
        model = build_model(
            schema.HPSConfig(),
            schema.BackboneTorchvisionConfig(model="resnet18"),
            tasks,
            (1, 32, 32),
        )
        x = torch.randn(2, 1, 32, 32)
        sum(v.mean() for v in model(x).values()).backward()
        assert all(p.grad is not None for p in model.parameters())
        with torch.no_grad():
            assert torch.equal(model.eval()(x)["scene"], model(x.expand(-1, 3, -1, -1))["scene"])


def test_copy_made_in_training_evaluates_equally():
    backbone = schema.BackboneTorchvisionConfig(model="efficientnet_b0")
    model = build_model(schema.HPSConfig(), backbone, [SCENE, PIXELS], (3, 32, 32)).train()
    copied = copy.deepcopy(model).eval()
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(copied(x)["pixels"], model.eval()(x)["pixels"])
        assert torch.equal(copied(x)["pixels"], copied(x)["pixels"])


def test_probing_does_not_change_seeded_weights():
    def weight(name):
        torch.manual_seed(5)
        return (
            build_model(
                schema.HPSConfig(),
                schema.BackboneTorchvisionConfig(model=name),
                [SCENE],
                (3, 32, 32),
            )
            .heads["scene"]
            .weight
        )

    assert torch.equal(weight("regnet_y_400mf"), weight("regnet_y_400mf"))
    torch.manual_seed(5)
    expected = torchvision.models.get_model("resnet18", weights=None).conv1.weight
    torch.manual_seed(5)
    model = build_model(
        schema.HPSConfig(), schema.BackboneTorchvisionConfig(model="resnet18"), [SCENE], (3, 32, 32)
    )
    assert torch.equal(model.trunk.network.conv1.weight, expected)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_come_from_a_local_file(tmp_path, suffix):
    torch.manual_seed(0)
    source = torchvision.models.resnet18(num_classes=5)
    path = tmp_path / f"net{suffix}"
    (
        save_file(source.state_dict(), path)
        if suffix == ".safetensors"
        else torch.save(source.state_dict(), path)
    )
    backbone = schema.BackboneTorchvisionConfig(model="resnet18", weights=path)
    x = torch.randn(2, 3, 64, 64)
    source.fc = torch.nn.Identity()
    for tasks, slot in (([SCENE], 0), ([PIXELS, SCENE], 1)):
        model = build_model(schema.HPSConfig(), backbone, tasks, (3, 64, 64)).eval()
        with torch.no_grad():
            torch.testing.assert_close(model.share(x)[slot], source.eval()(x))


@pytest.mark.parametrize(
    ("name", "millions", "tensors"),
    [
        ("squeezenet1_1", 0.73, 52),
        ("mobilenet_v2", 2.23, 314),
        ("densenet121", 6.96, 727),
        ("resnet18", 11.18, 122),
        ("resnet50", 23.52, 320),
        ("alexnet", 57.03, 16),
        ("vgg16_bn", 134.30, 97),
    ],
)
def test_mto_networks_have_the_published_sizes(name, millions, tensors):
    """Section 1.5 of the MTO specification: seven classes."""
    for side in (64, 128):
        with torch.device("meta"):
            model = build_model(
                schema.STLConfig(),
                schema.BackboneTorchvisionConfig(model=name),
                [TaskCard(name="scene", outputs=7)],
                (3, side, side),
            ).eval()
            assert model(torch.zeros(2, 3, side, side))["scene"].shape == (2, 7)
        assert round(sum(p.numel() for p in model.parameters()) / 1e6, 2) == millions
        assert len(model.state_dict()) == tensors


@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v2", "densenet121"])
def test_loading_weights_skips_the_last_layer(tmp_path, name):
    source = torchvision.models.get_model(name, weights=None, num_classes=3)
    state = source.state_dict()
    if name == "densenet121":  # the published files have other names, and no counters of batches
        state = {
            re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", k): v
            for k, v in state.items()
            if "num_batches" not in k
        }
        assert "features.denseblock1.denselayer1.norm.1.weight" in state
    torch.save(state, tmp_path / "net.pth")
    model = build_model(
        schema.HPSConfig(),
        schema.BackboneTorchvisionConfig(model=name, weights=tmp_path / "net.pth"),
        [SCENE],
        (3, 64, 64),
    )
    loaded = model.trunk.network.state_dict()
    assert len(source.state_dict()) - len(loaded) == 2
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in loaded.items())


def test_bad_backbones_are_refused_in_a_sentence(tmp_path):
    def build(shape=(3, 32, 32), **settings):
        return build_model(
            schema.HPSConfig(), schema.BackboneTorchvisionConfig(**settings), [SCENE], shape
        )

    with pytest.raises(BadInput, match="Did you mean `resnet18`"):
        build(model="resnet_18")
    with pytest.raises(BadInput, match="1 or 3 channels"):
        build(model="resnet18", shape=(5, 32, 32))
    with pytest.raises(BadInput, match="32 x 32 pixels"):
        build(model="alexnet")
    with pytest.raises(BadInput, match="should be an existing file"):
        build(model="resnet18", weights=tmp_path / "none.pth")
    broken = tmp_path / "broken.pth"
    for content in (b"", b"<html>not found</html>"):
        broken.write_bytes(content)
        with pytest.raises(BadInput, match="should be a readable state dict"):
            build(model="resnet18", weights=broken)
    broken.with_suffix(".safetensors").write_bytes(b"<html>not found</html>")
    with pytest.raises(BadInput, match="should be a readable state dict"):
        build(model="resnet18", weights=broken.with_suffix(".safetensors"))
    wrong = tmp_path / "wrong.pth"
    torch.save({"conv1.weight": torch.zeros(1)}, wrong)
    with pytest.raises(BadInput, match="does not fit"):
        build(model="resnet18", weights=wrong)


def test_prunable_layers_exclude_stem_grouped_and_attention():
    resnet = build_model(
        schema.HPSConfig(), schema.BackboneTorchvisionConfig(model="resnet18"), [SCENE], (3, 32, 32)
    )
    assert len(resnet.prunable) == 19
    assert "trunk.network.conv1" not in resnet.prunable
    with torch.device("meta"):
        mobile = build_model(
            schema.HPSConfig(),
            schema.BackboneTorchvisionConfig(model="mobilenet_v2"),
            [SCENE],
            (3, 32, 32),
        )
        vit = build_model(
            schema.HPSConfig(),
            schema.BackboneTorchvisionConfig(model="vit_b_32"),
            [SCENE],
            (3, 32, 32),
        )
    assert all(mobile.get_submodule(name).groups == 1 for name in mobile.prunable)
    assert not any("out_proj" in name or "conv_proj" in name for name in vit.prunable)
