"""The structure of the retrain phase holds at every step."""

import copy

import pytest
import torch
from growl_reference import step_then_average_
from nets import batch, small
from torch import nn

from mtsearch.config.schema import Sharing
from mtsearch.sparsity import Structure, find_sharing, measures, row_matrix, tie_, untie_, zero_rows

CONV = torch.tensor([0, 1, -1, 0, 2, 3, 1, 4, -1, 5, 6, 7])
LINEAR = torch.cat([torch.tensor([0, -1, 0, 1, 1, 1, -1]), torch.arange(2, 67)])
STRUCTURE = Structure({"2": CONV, "5": LINEAR})
OPTIMIZERS = {
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
}


def step(net, optimizer, seed):
    images, labels = batch(seed)
    optimizer.zero_grad()
    nn.functional.cross_entropy(net(images), labels).backward()
    optimizer.step()


def tied(structure=STRUCTURE):
    net, _ = small()
    tie_(net, structure)
    return net


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_zero_and_tied_rows_survive_every_step(name):
    net = tied()
    optimizer = OPTIMIZERS[name](net.parameters())
    before = measures(net)
    for seed in range(12):
        step(net, optimizer, seed)
        for layer, index in STRUCTURE.rows.items():
            rows = row_matrix(net.get_submodule(layer).weight)
            assert (rows[index < 0] == 0).all()
            for number in range(STRUCTURE.unique(layer)):
                assert len(torch.unique(rows[index == number], dim=0)) == 1
        now = measures(net)
        for key in ("sparsity_rate", "compression_rate", "parameter_sharing"):
            assert now[f"model/{key}"] == before[f"model/{key}"]


def test_distinct_rows_are_clusters_and_zero_row():
    net = tied()
    distinct = (8 + 1) + (67 + 1) + 3  # and the image-reading convolution's three
    total = 12 + 72 + 3
    assert measures(net)["model/compression_rate"] == pytest.approx(total / distinct)


def test_unique_rows_start_as_mean_of_members():
    plain, _ = small()
    net = tied()
    assert torch.allclose(net[2].weight[:, 0], plain[2].weight[:, [0, 3]].mean(1))
    assert torch.equal(net[2].weight[:, 4], plain[2].weight[:, 4])


def test_unique_row_gradient_sums_its_members():
    net = tied()
    plain = copy.deepcopy(net)
    untie_(plain)
    images, labels = batch()
    for model in (net, plain):
        nn.functional.cross_entropy(model(images), labels).backward()
    found = net[5].parametrizations.weight.original.grad
    for number in range(STRUCTURE.unique("5")):
        assert torch.allclose(
            found[:, number], plain[5].weight.grad[:, number == LINEAR].sum(1), atol=1e-6
        )


def test_step_then_average_equals_mean_gradient_sgd():
    net = tied().double()
    plain = copy.deepcopy(net)
    untie_(plain)
    counts = {name: torch.bincount(index[index >= 0]) for name, index in STRUCTURE.rows.items()}
    for (
        layer,
        sizes,
    ) in (
        counts.items()
    ):  # SGD on the sum with a row's learning rate divided by its members is SGD on the mean
        unique = net.get_submodule(layer).parametrizations.weight.original
        unique.register_hook(
            lambda grad, sizes=sizes: grad / sizes.view(1, -1, *[1] * (grad.ndim - 2))
        )
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.1) for model in (net, plain)]
    for seed in range(5):
        images, labels = batch(seed)
        for model, optimizer in zip((net, plain), optimizers, strict=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images.double()), labels).backward()
            optimizer.step()
        for layer, index in STRUCTURE.rows.items():
            step_then_average_(plain.get_submodule(layer).weight, index)
            assert torch.allclose(
                net.get_submodule(layer).weight, plain.get_submodule(layer).weight, atol=1e-6
            )


def test_the_original_lets_rows_drift_within_an_epoch():
    net = tied()
    untie_(net)
    step(net, torch.optim.Adam(net.parameters()), 0)
    assert not (row_matrix(net[2].weight)[CONV < 0] == 0).all()


def test_untying_keeps_the_weight_values():
    net = tied()
    step(net, torch.optim.Adam(net.parameters()), 0)
    images, _ = batch(3)
    before, weight = net(images), net[5].weight.detach().clone()
    untie_(net)
    assert torch.equal(net[5].weight, weight) and torch.equal(net(images), before)
    assert {name: p.shape for name, p in net.named_parameters()} == {
        name: p.shape for name, p in small()[0].named_parameters()
    }
    step(net, torch.optim.Adam(net.parameters()), 1)


def test_untying_a_copy_leaves_the_model_tied():
    net = tied()
    images, _ = batch()
    before = net(images)
    for model in (copy.deepcopy(net), net):
        untie_(model)
        assert type(model[2]) is nn.Conv2d and torch.equal(model(images), before)


def test_tied_state_loads_into_fresh_tied_model():
    net = tied()
    step(net, torch.optim.Adam(net.parameters()), 0)
    other = tied()
    other.load_state_dict(net.state_dict())
    images, _ = batch(3)
    assert torch.equal(other(images), net(images))


def test_a_layer_without_structure_stays_plain():
    net = tied(Structure({"2": torch.arange(12), "5": LINEAR}))
    assert isinstance(net[2].weight, nn.Parameter) and type(net[2]) is nn.Conv2d


def test_tying_keeps_zero_rows_and_nearly_outputs():
    net, prunable = small()
    with torch.no_grad():
        net[5].weight[:, ::3] = 0
        net[5].weight[:, 1::3] = net[5].weight[:, 2::3] + 1e-4
        net[2].weight[:, 4] = net[2].weight[:, 7]
    images, _ = batch()
    before, zero = net(images), zero_rows(net[5].weight)
    tie_(net, find_sharing(net, prunable, Sharing(preference=0.99)))
    assert torch.equal(zero_rows(net[5].weight), zero)
    assert torch.allclose(net(images), before, atol=1e-3)
    assert net[5].parametrizations.weight.original.shape == (5, 24)


def test_maps_that_do_not_fit_are_refused():
    net, _ = small()
    with pytest.raises(ValueError, match="should have 12 entries"):
        tie_(net, Structure({"2": torch.tensor([0, 0, 1])}))
    with pytest.raises(ValueError, match="at least one row"):
        tie_(net, Structure({"2": torch.full((12,), -1)}))
    tie_(net, STRUCTURE)
    with pytest.raises(ValueError, match="parametrised already"):
        tie_(net, STRUCTURE)


def test_members_that_cancel_are_refused():
    net, _ = small()
    with torch.no_grad():
        net[2].weight[:, 3] = -net[2].weight[:, 0]
    with pytest.raises(ValueError, match="mean is zero"):
        tie_(net, STRUCTURE)
