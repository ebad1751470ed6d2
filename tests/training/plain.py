"""A backbone without batch statistics, small enough to train every balancing method in a test."""

from typing import Literal

from torch import nn

from mtsearch.config.base import Model
from mtsearch.config.registry import method
from mtsearch.models import Backbone, Branch, backbone


@method("backbone", "plain")
class Plain(Model):
    name: Literal["plain"] = "plain"


@backbone(Plain)
def plain(settings, shape):
    def branch(needs):
        body = nn.Sequential(
            nn.Conv2d(shape[0], 4, 5, stride=3), nn.ReLU(), nn.Conv2d(4, 6, 3, stride=2), nn.ReLU()
        )
        return Branch(body, nn.Sequential(nn.Flatten(), nn.Linear(6 * 16, 8), nn.Tanh()), needs)

    return Backbone(branch, branch, 8, (6, 4, 4), shape)
