"""Low-rank changes of one network per task."""

import pytest
import torch
from torch import nn
from torch.func import functional_call

from mtsearch.config.pareto_sets import LowRankConfig
from mtsearch.training.low_rank import LowRank


def network(seed):
    torch.manual_seed(seed)
    layers = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 3))
    return layers.double()


def changed(count, frozen=False):
    def build(seed):
        return network(seed).requires_grad_(not frozen)

    torch.manual_seed(5)
    made = LowRank(LowRankConfig(rank=2, scale=3.0), build, count)
    for parameter in made.trained.get_submodule("changes").parameters():
        nn.init.normal_(parameter)
    return made


def test_all_preferences_start_from_one_network():
    made = LowRank(LowRankConfig(rank=2), network, 2)
    for preference in ([1.0, 0.0], [0.3, 0.7]):
        state = made.state_at(preference)
        assert all(torch.equal(v, state[k]) for k, v in network(0).state_dict().items())


@pytest.mark.parametrize("preference", [[0.3, 0.7], [0.2, 0.5, 0.3], [1.0, 0.0]])
def test_gradient_equals_functional_call(preference):
    made, x = changed(len(preference)), torch.randn(6, 2, 3, 3).double()
    made.set_(preference)
    made.network.train()(x).square().sum().backward()
    made.backward_(preference)

    plain = network(0).train()
    copies = {id(p): p.detach().clone().requires_grad_() for p in made.trained.parameters()}
    base = [copies[id(p)] for p in made._base()]
    names = [name for name, _ in plain.named_parameters()]
    weights = dict(zip(names, base, strict=True))
    for share, factors in zip(preference, made._changes(), strict=True):
        for i, (b, a) in zip(made._changed, factors, strict=True):
            change = 1.5 * share * (copies[id(b)] @ copies[id(a)])
            weights[names[i]] = weights[names[i]] + change.view(base[i].shape)
    functional_call(plain, weights, (x,)).square().sum().backward()
    for parameter in made.trained.parameters():
        assert torch.allclose(parameter.grad, copies[id(parameter)].grad, atol=1e-10)


def test_small_and_one_dimensional_parameters_do_not_change():
    made = changed(2)
    names = [name for name, _ in made.network.named_parameters()]
    assert [names[i] for i in made._changed] == ["0.weight", "3.weight"]
    one, other = made.state_at([1.0, 0.0]), made.state_at([0.0, 1.0])
    assert [k for k in one if not torch.equal(one[k], other[k])] == ["0.weight", "3.weight"]


def test_changes_of_frozen_weights_are_trained():
    made, x = changed(2, frozen=True), torch.randn(6, 2, 3, 3).double()
    made.set_([0.5, 0.5])
    made.network.train()(x).square().sum().backward()
    made.backward_([0.5, 0.5])
    assert all(p.grad is None for p in made._base())
    assert all(p.grad is not None for f in made._changes() for pair in f for p in pair)
