"""LSUV: unit variance, orthonormal weights, seeded."""

import pytest
import torch
from torch import nn

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.models import build_model, lsuv_

torch.set_num_threads(1)

TASKS = [TaskCard(name="image", outputs=10), TaskCard(name="digit", outputs=10)]
CASES = [
    (architecture, *backbone)
    for architecture in (
        schema.STLConfig(),
        schema.HPSConfig(),
        schema.MDMTNConfig(),
        schema.MDMTNConfig(mixing="static"),
    )
    for backbone in (
        (schema.BackboneMMConfig(), (1, 28, 28)),
        (schema.BackboneCMConfig(), (3, 32, 32)),
    )
]


def initialised(case, seed: int, memory_format=torch.contiguous_format):
    architecture, backbone, shape = case
    images = torch.randn(256, *shape, generator=torch.Generator().manual_seed(1)).to(
        memory_format=memory_format
    )
    model = build_model(architecture, backbone, TASKS, shape).to(memory_format=memory_format)
    lsuv_(model, images, torch.Generator().manual_seed(seed))
    return model, images


def layers(model):
    return {name: m for name, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0].name}-{c[1].name}")
def test_lsuv_gives_unit_deviation_and_zero_bias(case):
    model, images = initialised(case, 0)
    seen = {}
    for name, layer in layers(model).items():
        layer.register_forward_hook(
            lambda _, __, out, name=name: seen.update({name: float(out.std())})
        )
    assert model.training
    with torch.no_grad():
        model.eval()(images)
    assert seen.keys() == layers(model).keys()
    assert all(0.9 <= value <= 1.1 for value in seen.values()), seen
    assert all(not layer.bias.any() for layer in layers(model).values())


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0].name}-{c[1].name}")
def test_weights_are_orthonormal_up_to_their_scale(case):
    model, _ = initialised(case, 0)
    for layer in layers(model).values():
        matrix = layer.weight.detach().flatten(1).double()
        gram = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
        gram = gram / gram.diagonal().mean()
        torch.testing.assert_close(
            gram, torch.eye(len(gram), dtype=torch.float64), rtol=0, atol=1e-5
        )


@pytest.mark.parametrize("case", CASES[2:4], ids=lambda c: c[1].name)
def test_the_seed_decides_alone(case):
    first, _ = initialised(case, 3)
    torch.randn(7)
    second, _ = initialised(case, 3)
    other, _ = initialised(case, 4)
    for (name, a), (_, b), (_, c) in zip(
        first.named_parameters(), second.named_parameters(), other.named_parameters(), strict=True
    ):
        assert torch.equal(a, b), name
        assert (
            name.endswith("bias") or ".2." in name or "body.6" in name or not torch.equal(a, c)
        ), name


def test_lsuv_keeps_the_channels_last_format():
    plain, _ = initialised(CASES[3], 0)
    last, _ = initialised(CASES[3], 0, torch.channels_last)
    assert last.trunk.body[4].weight.is_contiguous(memory_format=torch.channels_last)
    for a, b in zip(plain.parameters(), last.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_images_without_variation_are_refused():
    model = build_model(schema.HPSConfig(), schema.BackboneMMConfig(), TASKS, (1, 28, 28))
    with pytest.raises(BadInput, match=r"trunk\.body\.0"):
        lsuv_(model, torch.zeros(8, 1, 28, 28), torch.Generator().manual_seed(0))


@pytest.mark.parametrize("width", [0.1, 0.25, 1.0])
def test_lsuv_flips_channels_dead_behind_relu(width):
    case = (
        schema.HPSConfig(),
        schema.BackboneEfficientNetCIFARConfig(width=width, depth=0.5),
        (3, 32, 32),
    )
    for seed in range(3):
        model, images = initialised(case, seed)
        outputs = []
        for layer in layers(model).values():
            layer.register_forward_hook(lambda _, __, out, outputs=outputs: outputs.append(out))
        with torch.no_grad():
            model.eval()(images)
        assert all(0.9 <= float(out.std()) <= 1.1 for out in outputs)
        assert all(bool((out.amax((0, 2, 3)) > 0).all()) for out in outputs if out.dim() == 4)


def test_head_rows_keep_their_direction():
    """The rows of a head are those of the initialisation times a positive factor, also if an output
    is negative on all images; rows of the trunk may be multiplied by -1."""
    turned = 0
    for seed in range(6):
        case = (schema.HPSConfig(), schema.BackboneCMConfig(), (3, 32, 32))
        model, images = initialised(case, seed)
        fresh = build_model(*case[:2], TASKS, case[2])
        generator = torch.Generator().manual_seed(seed)
        for name, layer in layers(fresh).items():
            nn.init.orthogonal_(layer.weight, generator=generator)
            found = layers(model)[name].weight.detach()
            factors = (found * layer.weight).flatten(1).sum(1)
            factors = factors / layer.weight.square().flatten(1).sum(1)
            if name.startswith("heads"):
                assert (factors > 0).all(), (seed, name)
                torch.testing.assert_close(found, factors[0] * layer.weight, rtol=1e-5, atol=1e-6)
        with torch.no_grad():
            outputs = model.eval()(images[:4])
        turned += sum(int((out.amax(0) <= 0).sum()) for out in outputs.values())
    assert turned > 0  # outputs that were turned before: negative on all of these images
