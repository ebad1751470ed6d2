"""Small networks for the tests."""

import torch
from torch import nn

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.models import build_model

TASKS = [TaskCard(name="one", outputs=10), TaskCard(name="other", outputs=10)]
STUDIES = {
    "MM-HPS": (schema.HPSConfig(), schema.BackboneMMConfig(), (1, 28, 28)),
    "MM-MDMTN": (schema.MDMTNConfig(), schema.BackboneMMConfig(), (1, 28, 28)),
    "CM-HPS": (schema.HPSConfig(), schema.BackboneCMConfig(), (3, 32, 32)),
    "CM-MDMTN": (schema.MDMTNConfig(), schema.BackboneCMConfig(), (3, 32, 32)),
}


def study(name):
    """One of the four networks of the study."""
    architecture, backbone, shape = STUDIES[name]
    torch.manual_seed(0)
    return build_model(architecture, backbone, TASKS, shape)


def small():
    """A convolution of 12 rows and a linear layer of 72 behind one that reads the image, in the
    memory format of training."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 12, 3),
        nn.ReLU(),
        nn.Conv2d(12, 8, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(72, 5),
    )
    return net.to(memory_format=torch.channels_last), ("2", "5")


def batch(seed=0):
    """Images (4, 3, 7, 7) for `small`, and labels."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(4, 3, 7, 7, generator=generator).to(memory_format=torch.channels_last)
    return images, torch.randint(5, (4,), generator=generator)
