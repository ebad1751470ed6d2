"""Networks of all preferences as convex combinations of one set of weights per task."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call

from mtsearch.config.pareto_sets import WeightsLineConfig
from mtsearch.training.preference_stream import PreferenceStream
from mtsearch.training.weights_line import WeightsLine

SETTINGS = WeightsLineConfig()


def network(seed):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2))
    return model.double()


def weights(count):
    numbers = st.lists(st.floats(0, 1), min_size=count, max_size=count)
    return numbers.filter(lambda v: sum(v) > 1e-3).map(lambda v: [x / sum(v) for x in v])


@pytest.mark.parametrize("count", [2, 3])
def test_vertex_is_the_plain_network(count):
    line, x = WeightsLine(SETTINGS, network, count), torch.randn(5, 3).double()
    for k in range(count):
        line.set_([float(i == k) for i in range(count)])
        assert torch.equal(line.network.eval()(x), network(k).eval()(x))


@given(preference=st.one_of(weights(2), weights(3)))
def test_weights_are_convex_combinations(preference):
    line = WeightsLine(SETTINGS, network, len(preference))
    found = line.state_at(preference)
    for name, value in network(0).named_parameters():
        own = torch.stack(
            [dict(network(k).named_parameters())[name] for k in range(len(preference))]
        )
        assert bool((found[name] <= own.amax(0) + 1e-12).all())
        assert bool((found[name] >= own.amin(0) - 1e-12).all())
        assert torch.allclose(
            found[name], torch.tensordot(torch.tensor(preference).double(), own, 1)
        )
        assert found[name].shape == value.shape


@pytest.mark.parametrize("preference", [[0.3, 0.7], [0.2, 0.5, 0.3], [0.0, 1.0]])
def test_gradient_equals_functional_call(preference):
    line, x = WeightsLine(SETTINGS, network, len(preference)), torch.randn(6, 3).double()
    line.set_(preference)
    line.network.train()(x).square().sum().backward()
    line.backward_(preference)

    plain = network(0).train()
    vertices = [
        {name: p.detach().clone().requires_grad_() for name, p in network(k).named_parameters()}
        for k in range(len(preference))
    ]
    combined = {
        name: sum(w * vertex[name] for w, vertex in zip(preference, vertices, strict=True))
        for name in vertices[0]
    }
    functional_call(plain, combined, (x,)).square().sum().backward()
    for ours, theirs in zip(line.vertices(), vertices, strict=True):
        for mine, other in zip(ours, theirs.values(), strict=True):
            assert torch.allclose(mine.grad, other.grad, atol=1e-12)
    assert all(p.grad is None for p in line.network.parameters())


def test_parameters_that_modules_share_stay_shared():
    def shared(seed):
        torch.manual_seed(seed)
        layer = nn.Linear(2, 2)
        return nn.Sequential(layer, layer)

    line = WeightsLine(SETTINGS, shared, 2)
    state = line.state_at([0.25, 0.75])
    assert torch.equal(state["0.weight"], state["1.weight"])
    model = copy.deepcopy(line.network)
    model.load_state_dict(state)
    line.set_([0.25, 0.75])
    assert torch.equal(model(torch.ones(1, 2)), line.network(torch.ones(1, 2)))


@pytest.mark.parametrize("draw", ["uniform", "even"])
@pytest.mark.parametrize("count", [2, 3])
def test_preferences_cover_the_simplex(draw, count):
    stream = PreferenceStream(draw, count, seed=3)
    drawn = torch.tensor([stream.next() for _ in range(600)])
    assert torch.allclose(drawn.sum(1), torch.ones(600)) and bool((drawn >= 0).all())
    assert torch.allclose(drawn.mean(0), torch.full((count,), 1 / count), atol=0.05)
    assert bool((drawn.amax(0) > 0.9).all()) and bool((drawn.amin(0) < 0.05).all())


@pytest.mark.parametrize("draw", ["uniform", "even"])
def test_restored_stream_continues(draw):
    stream = PreferenceStream(draw, 3, seed=1)
    for _ in range(5):
        stream.next()
    other = PreferenceStream(draw, 3, seed=9)
    other.load_state_dict(stream.state_dict())
    assert [stream.next() for _ in range(4)] == [other.next() for _ in range(4)]
