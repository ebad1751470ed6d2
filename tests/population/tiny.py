"""A tiny dataset, and a tiny network with batch norm and dropout, for the tests of populations."""

from typing import Literal

import torch
from torch import nn

from mtsearch.config.base import Model
from mtsearch.config.cards import DatasetCard, TaskCard
from mtsearch.config.registry import method
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.data import Dataset, Split
from mtsearch.models import Backbone, Branch, backbone
from mtsearch.population import Population
from mtsearch.training import World

DATA = DataConfig(dataset="tiny")
TASK = TaskCard(name="scene", outputs=3, classes=("a", "b", "c"))


@method("backbone", "tiny_population")
class TinySettings(Model):
    """A convolution with batch norm and dropout."""

    name: Literal["tiny_population"] = "tiny_population"


@backbone(TinySettings)
def tiny(settings, shape):
    def trunk(needs):
        body = nn.Sequential(
            nn.Conv2d(shape[0], 6, 3, padding=1),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Conv2d(6, 4, 3, stride=2),
        )
        return Branch(
            body, nn.Sequential(nn.Flatten(), nn.Dropout(0.3), nn.Linear(36, 8), nn.ReLU()), needs
        )

    return Backbone(trunk, trunk, 8, (4, 3, 3), shape)


def split(count, seed, classes=3):
    """Noise images with a bright row, whose position is the class."""
    noise = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (count,), generator=noise)
    images = torch.randint(0, 160, (count, 1, 8, 8), generator=noise, dtype=torch.uint8)
    images[torch.arange(count), 0, labels * 2] += 60
    return images, labels


def dataset(name="tiny", task=TASK, seed=0):
    card = DatasetCard(
        name=name,
        title=name,
        source={},
        tasks=(task,),
        shape=(1, 8, 8),
        mean=(0.3,),
        std=(0.2,),
        val_fraction=0.2,
        licence="none",
        how_to_get="it is made",
    )
    sides = {
        side: split(count, seed + i, task.outputs)
        for i, (side, count) in enumerate((("train", 120), ("val", 40), ("test", 40)))
    }
    return Dataset(
        card,
        name,
        {s: Split(x, {task.name: y}) for s, (x, y) in sides.items()},
        (0.3,),
        (0.2,),
        f"checksum of {name}",
    )


OTHER = dataset("other", TaskCard(name="kind", outputs=2, classes=("x", "y")), seed=10)


def opened(data):
    return OTHER if data.dataset == "other" else dataset()


def config(**changes):
    """Two tasks, two members each, three rounds of four steps; `population` settings are given by
    name, others as `trial__key`."""
    trial = {
        key.removeprefix("trial__"): changes.pop(key)
        for key in list(changes)
        if key.startswith("trial__")
    }
    population = {
        "name": "mto",
        "tasks": 2,
        "group_size": 2,
        "interval": 4,
        "stop_scope": "none",
        "holdout_fraction": 0.2,
        **changes,
    }
    if "budget" not in population and "epochs" not in trial:
        population["budget"] = (
            3 * population["tasks"] * population["group_size"] * population["interval"]
        )
    base = {
        "architecture": "hps",
        "backbone": "tiny_population",
        "batch_size": 16,
        "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": True},
        "lr_schedule": {"name": "cosine"},
        "augment": {"flip": True},
        "population": population,
    }
    return TrialConfig.model_validate({**base, **trial})


def population(world=None, **changes):
    return Population(config(**changes), DATA, world or World())


def states(trial):
    """Return the states of the tasks' own members, by task."""
    return {i: state.tree() for i, state in trial._rounds.states.items()}


def equal(a, b):
    """Return whether two trees have bit-identical tensors and equal values under equal keys in
    equal order."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(equal(a[key], b[key]) for key in a)
    return a == b


def timeless(reports):
    return [
        {key: value for key, value in report.items() if key != "cost/seconds"} for report in reports
    ]
