"""Every optimiser trains, and continues bit-identically from its state."""

import copy
import subprocess
import sys

import pytest
import torch

from mtsearch.config.registry import methods
from mtsearch.training.optimizers import build_optimizer, load_optimizer, match_layouts_


def made(name, seed=0):
    torch.manual_seed(seed)
    network = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    settings = methods("optimizer")[name].model_validate({"name": name, "weight_decay": 0.01})
    return network, build_optimizer(settings, network.parameters())


def step(network, optimizer, number):
    noise = torch.Generator().manual_seed(number)
    x = torch.randn(32, 4, generator=noise)
    loss = (network(x) - x.sum(1, keepdim=True)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


@pytest.mark.parametrize("name", sorted(methods("optimizer")))
def test_optimiser_lowers_loss_and_restores_its_state(name):
    network, optimizer = made(name)
    losses = [step(network, optimizer, number) for number in range(300)]
    assert sum(losses[-50:]) < sum(losses[:50])
    again, other = made(name, seed=1)
    again.load_state_dict(network.state_dict())
    load_optimizer(other, copy.deepcopy(optimizer.state_dict()))
    for number in range(300, 305):
        assert step(network, optimizer, number) == step(again, other, number)
    assert all(
        torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True)
    )


@pytest.mark.parametrize("name", list(methods("optimizer")))
def test_gradient_layout_does_not_change_the_step(name):
    torch.manual_seed(0)
    weight, gradient = torch.randn(2, 4, 3, 5, 5)
    settings = methods("optimizer")[name].model_validate({"name": name, "lr": 0.1})
    found = []
    for layout in (torch.channels_last, torch.contiguous_format):
        parameter = torch.nn.Parameter(weight.clone(memory_format=torch.channels_last))
        parameter.grad = gradient.clone(memory_format=layout)
        optimizer = build_optimizer(settings, [parameter])
        match_layouts_([parameter])
        optimizer.step()
        found.append(parameter.detach())
    assert torch.equal(*found)


def test_training_imports_neither_compiler_nor_torchvision():
    """Both take a second and 150 MB in each process."""
    code = """
import sys
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.training import Trial
settings = {"architecture": "hps", "epochs": {"search": 0, "retrain": 1}, "clip": 1.0}
data = DataConfig(dataset="patches10_digits", limit=50)
trial = Trial(TrialConfig.model_validate(settings), data)
next(trial)
trial.state_dict()
print([name for name in ("torch._dynamo", "torchvision", "sympy") if name in sys.modules])
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
