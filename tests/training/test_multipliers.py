"""Learning-rate multipliers by part of the network."""

import pytest
import torch

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.models import build_model
from mtsearch.training.checks import check_multipliers
from mtsearch.training.optimizers import build_optimizer, scaled_groups

TASKS = [TaskCard(name="scene", outputs=3)]


def network():
    torch.manual_seed(0)
    return build_model(
        schema.MTLNConfig(), schema.BackboneWRNConfig(depth=10, widen=1), TASKS, (3, 8, 8)
    )


def test_parts_move_by_their_scaled_learning_rate():
    moved = []
    for multipliers in ({}, {"attention": 0.5, "heads": 4.0}):
        model, other = network(), torch.nn.Parameter(torch.ones(1))
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        groups = scaled_groups(model.named_parameters(), multipliers, [other])
        assert sum(len(group["params"]) for group in groups) == len(before) + 1
        optimizer = build_optimizer(schema.TrialConfig(optimizer="sgd").optimizer, groups)
        for group in optimizer.param_groups:
            group["lr"] = 0.125 * group["scale"]
        (
            model(torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1)))["scene"]
            .square()
            .sum()
            + other.sum()
        ).backward()
        optimizer.step()
        assert other.item() == 0.875
        moved.append({name: p.detach() - before[name] for name, p in model.named_parameters()})
    for name, step in moved[0].items():
        torch.testing.assert_close(
            moved[1][name],
            {"attention": 0.5, "heads": 4.0}.get(name.split(".")[0], 1.0) * step,
            rtol=1e-3,
            atol=1e-6,
        )


def test_without_multipliers_there_is_one_parameter_group():
    model = network()
    (group,) = scaled_groups(model.named_parameters(), {})
    assert all(a is b for a, b in zip(group["params"], model.parameters(), strict=True))


def test_multiplier_of_unknown_part_is_refused():
    model = network()
    check_multipliers(
        schema.TrialConfig(architecture="mtln", lr_multipliers={"monitors": 1.0, "trunk": 0.1}),
        model,
    )
    with pytest.raises(
        BadInput, match=r"`trial\.lr_multipliers\.head` is 2, .* Did you mean `heads`"
    ):
        check_multipliers(
            schema.TrialConfig(architecture="mtln", lr_multipliers={"head": 2.0}), model
        )
