"""Exports of networks that mtsearch did not train."""

import json
import zipfile
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import torchvision
from safetensors.torch import load_file
from torch import nn
from zoo import ZOO

from mtsearch.config.errors import BadInput
from mtsearch.deploy import export_module


@pytest.fixture(scope="module")
def resnet():
    torch.manual_seed(0)
    net = torchvision.models.resnet18(weights=None, num_classes=7).eval()
    with torch.no_grad():
        for name, module in net.named_modules():
            if isinstance(module, nn.Conv2d) and name != "conv1":
                module.weight[:, ::2] = 0
    return net


def test_resnet_export_is_smaller_and_equal(resnet, tmp_path):
    example = torch.rand(2, 3, 32, 32)
    done = export_module(resnet, example, tmp_path / "out", onnx=True)
    assert done.path == tmp_path / "out"
    assert done.parameters[1] < 0.4 * done.parameters[0]
    assert done.macs[1] < 0.6 * done.macs[0]
    with torch.no_grad():
        expected = resnet(example)
    program = torch.export.load(done.path / "model.pt2")
    torch.testing.assert_close(program.module()(example), expected, rtol=1e-4, atol=1e-5)
    session = onnxruntime.InferenceSession(done.path / "model.onnx")
    (found,) = session.run(None, {"images": example.numpy()})
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-3, atol=1e-4)
    assert load_file(done.path / "model.safetensors").keys() == program.state_dict.keys()
    card = json.loads((done.path / "card.json").read_text())
    assert card["size"]["after"]["parameters"] == done.parameters[1]
    assert card["compaction"] == list(done.notes)
    assert {"run", "origin", "metrics", "trial"}.isdisjoint(card)
    assert "resnet" in (done.path / "card.md").read_text().lower()


def test_module_export_names_no_local_path(tmp_path):
    net = ZOO["unet"].make()  # a class of a file of this machine
    out = export_module(net, torch.rand(1, 3, 32, 32), tmp_path / "out", onnx=True).path
    with zipfile.ZipFile(out / "model.pt2") as archive:
        parts = [archive.read(name) for name in archive.namelist()]
    for content in (*parts, *(path.read_bytes() for path in out.iterdir())):
        assert b"site-packages" not in content
        assert str(tmp_path).encode() not in content
        assert b"zoo.py" not in content and str(Path.cwd()).encode() not in content


@pytest.mark.parametrize(
    "name",
    [
        "inplace_relu_statement",
        "inplace_channel",
        "softmax_hook",
        "tied_autoencoder",
        "tied_parameter",
        "norm_weight_read",
        "several_outputs",
        "optional_argument",
    ],
)
def test_plug_in_networks_are_exported(name, tmp_path):
    torch.manual_seed(0)
    net = ZOO[name].make().eval()
    done = export_module(net, torch.randn(1, *ZOO[name].shape), tmp_path / "out")
    assert done.notes
    assert (tmp_path / "out" / "model.pt2").is_file()


def test_uncompactable_network_is_exported_with_note(tmp_path):
    class Single(nn.Module):
        """Its constants are float32, so that it does not run in float64."""

        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 3)

        def forward(self, x):
            return self.b(torch.relu(self.a(x)) @ torch.eye(8, dtype=torch.float32))

    net = Single()
    with torch.no_grad():
        net.b.weight[:, :4] = 0
    done = export_module(net, torch.randn(2, 6), tmp_path / "out")
    assert done.parameters[0] == done.parameters[1]
    assert "does not run in float64" in done.notes[0]
    assert done.notes[0] in (tmp_path / "out" / "card.md").read_text()


def test_integer_inputs_are_exported(tmp_path):
    net = nn.Sequential(
        nn.Embedding(11, 8), nn.Flatten(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 2)
    )
    with torch.no_grad():
        net[4].weight[:, 4:] = 0
    example = torch.randint(11, (3, 4))
    done = export_module(net, example, tmp_path / "out")
    assert done.parameters[1] < done.parameters[0]
    model = torch.export.load(done.path / "model.pt2").module()
    torch.testing.assert_close(model(example), net.eval()(example))
    with pytest.raises(RuntimeError, match="dtype"):
        model(example.float())


def test_control_flow_on_values_cannot_be_exported(tmp_path):
    with pytest.raises(RuntimeError, match=r"torch\.export should take this network"):
        export_module(ZOO["value_control_flow"].make(), torch.rand(1, 3, 32, 32), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_example_without_batch_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"`example` should be a tensor \(B, \.\.\.\)"):
        export_module(nn.Linear(3, 2), torch.rand(3), tmp_path / "out")
    with pytest.raises(BadInput, match="Found list"):
        export_module(nn.Linear(3, 2), [1.0], tmp_path / "out")
