"""One network whose biases depend on the preference."""

import pytest
import torch
from torch import nn
from torch.func import functional_call

from mtsearch.config.errors import BadInput
from mtsearch.config.pareto_sets import ConditionedConfig
from mtsearch.training.checks import check_trial
from mtsearch.training.conditioned import Conditioned
from tests.training.test_pareto_set import DATA, config, open_dataset


def network(seed=0):
    torch.manual_seed(seed)
    layers = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Flatten())
    return nn.Sequential(layers, nn.Linear(36, 3)).double()


def made(count):
    found = Conditioned(ConditionedConfig(), network, count)
    torch.manual_seed(5)
    for change in found.trained.get_submodule("changes").parameters():
        nn.init.normal_(change)
    return found


@pytest.mark.parametrize("preference", [[0.3, 0.7], [0.2, 0.5, 0.3], [1.0, 0.0]])
def test_plain_network_equals_concatenated_preferences(preference):
    found, x = made(len(preference)), torch.randn(6, 2, 3, 3).double()
    plain = network(1)
    plain.load_state_dict(found.state_at(preference))
    p = torch.tensor(preference, dtype=torch.float64)
    (conv, norm, flat), linear = network(0)[0], network(0)[1]
    changes = list(found.trained.get_submodule("changes").parameters())
    # a map of each weight of the preference beside the channels, read by a kernel of one pixel
    maps = p[None, :, None, None].expand(6, -1, 3, 3)
    h = conv(x) + nn.functional.conv2d(maps, changes[0][:, :, None, None])
    norm.train()
    h = norm(h) + nn.functional.conv2d(maps, changes[1][:, :, None, None])
    both = torch.cat([flat(h), p.expand(6, -1)], dim=1)
    expected = nn.functional.linear(both, torch.cat([linear.weight, changes[2]], 1), linear.bias)
    torch.testing.assert_close(plain.train()(x), expected)


@pytest.mark.parametrize("preference", [[0.3, 0.7], [0.2, 0.5, 0.3], [1.0, 0.0]])
def test_gradient_equals_functional_call(preference):
    found, x = made(len(preference)), torch.randn(6, 2, 3, 3).double()
    found.set_(preference)
    found.network.train()(x).square().sum().backward()
    found.backward_(preference)
    base = list(found.trained.get_submodule("base").parameters())
    changes = list(found.trained.get_submodule("changes").parameters())
    leaves = [p.detach().clone().requires_grad_() for p in (*base, *changes)]
    weights, extra = leaves[: len(base)], iter(leaves[len(base) :])
    p = torch.tensor(preference, dtype=torch.float64)
    names = [name for name, _ in found.network.named_parameters()]
    state = {
        name: weight + next(extra) @ p if name.endswith("bias") else weight
        for name, weight in zip(names, weights, strict=True)
    }
    functional_call(network(0).train(), state, (x,)).square().sum().backward()
    for trained, leaf in zip((*base, *changes), leaves, strict=True):
        torch.testing.assert_close(trained.grad, leaf.grad)


def test_all_preferences_start_from_one_network():
    found = Conditioned(ConditionedConfig(), network, 2)
    for preference in ([1.0, 0.0], [0.3, 0.7]):
        state = found.state_at(preference)
        assert all(torch.equal(v, state[k]) for k, v in network(0).state_dict().items())


def test_network_without_biases_is_refused():
    with pytest.raises(BadInput, match="needs a network with biases"):
        Conditioned(ConditionedConfig(), lambda _: nn.Linear(2, 2, bias=False), 2)


def test_gradient_methods_are_refused_with_the_penalty():
    card = open_dataset(DATA).card
    changes = {"balancing": {"name": "upgrad", "level": "feature"}}
    with pytest.raises(BadInput, match="combines gradients"):
        check_trial(config(pareto_set={"name": "conditioned"}, **changes), card)
    check_trial(config(pareto_set={"name": "conditioned", "cosine": 0}, **changes), card)
