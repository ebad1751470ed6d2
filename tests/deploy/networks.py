"""Networks for the tests of this folder, with rows zeroed and tied as training leaves them."""

import torch
from torch import nn

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.deploy.serving import Serving
from mtsearch.models import MultiTaskModel, build_model

torch.set_num_threads(1)

TASKS = [TaskCard(name="image", outputs=10), TaskCard(name="digit", outputs=10)]
DENSE = [*TASKS, TaskCard(name="pixels", kind="segmentation", outputs=3)]
ARCHITECTURES = {
    "stl": schema.STLConfig(),
    "hps": schema.HPSConfig(),
    "mdmtn": schema.MDMTNConfig(),
    "static": schema.MDMTNConfig(mixing="static"),
}
BACKBONES = {
    "mm": (schema.BackboneMMConfig(), (1, 28, 28)),
    "cm": (schema.BackboneCMConfig(), (3, 32, 32)),
}


def trained(
    architecture: str, backbone: str, tasks=TASKS, seed: int = 0
) -> tuple[MultiTaskModel, tuple[int, int, int]]:
    """A network as training leaves it: batch norms have seen data, biases and mixings are not at
    their start."""
    torch.manual_seed(seed)
    settings, shape = BACKBONES[backbone]
    return settled(build_model(ARCHITECTURES[architecture], settings, tasks, shape)), shape


def settled(model: MultiTaskModel) -> MultiTaskModel:
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
                for parameter in module.parameters():
                    parameter.normal_()
        for name, parameter in model.named_parameters():
            if name.endswith("alpha"):
                parameter.copy_(torch.tensor([0.8, 0.3]))
    return model.eval().to(memory_format=torch.channels_last)


def rows_of(model: MultiTaskModel, name: str) -> torch.Tensor:
    """The weight of a layer with rows first, sharing its memory."""
    return model.get_submodule(name).weight.detach().transpose(0, 1)


def serving(model: nn.Module, shape: tuple[int, int, int]) -> Serving:
    return Serving(model, (0.4,) * shape[0], (0.25,) * shape[0]).eval()


def difference(model: nn.Module, other: nn.Module, shape: tuple[int, int, int]) -> float:
    """Largest difference of the outputs, relative to the largest output."""
    images = torch.rand(5, *shape, generator=torch.Generator().manual_seed(9))
    images = images.to(next(model.parameters()).dtype)
    with torch.no_grad():
        a, b = model(images), other(images)
    assert a.keys() == b.keys()
    return max(float((a[k] - b[k]).abs().max() / a[k].abs().max()) for k in a)
