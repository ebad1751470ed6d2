"""The published MTLN's initialisation."""

import torch
from torch import nn

from mtsearch.models import normal_


def test_weights_are_small_and_normal_and_biases_zero():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(16, 32, 3), nn.BatchNorm2d(32), nn.Flatten(), nn.Linear(200, 100))
    normal_(net)
    for layer in (net[0], net[3]):
        assert abs(layer.weight.std().item() / 0.01 - 1) < 0.03
        assert abs(layer.weight.mean().item()) < 5e-4
        assert not layer.bias.any()
    assert (net[1].weight == 1).all()
