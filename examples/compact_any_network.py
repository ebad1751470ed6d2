"""Remove zero rows from a network that mtsearch did not train.

Half of the input channels of each convolution of a torchvision ResNet are set to zero, as sparse
training would leave them; `compact` builds a smaller network with the same outputs. Usage:
python examples/compact_any_network.py
"""

import torch
from torch import nn
from torchvision.models import resnet18

from mtsearch.deploy import compact

torch.manual_seed(0)
network = resnet18(num_classes=10).eval()
with torch.no_grad():
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d) and name != "conv1":
            rows = torch.randperm(layer.in_channels)[: layer.in_channels // 2]
            layer.weight[:, rows] = 0
small = compact(network, (3, 64, 64))
images = torch.rand(4, 3, 64, 64)
with torch.no_grad():
    difference = (network(images) - small.model(images)).abs().max()


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


print(f"parameters {count(network):,} -> {count(small.model):,}")
print(f"largest difference of the outputs {difference:.1e}")
print(*small.notes, sep="\n")
