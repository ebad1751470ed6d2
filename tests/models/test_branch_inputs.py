"""Branches with different inputs and with losses of their own (mto.md 2.5 and invariant 18)."""

import copy

import pytest
import torch
from safetensors.torch import save_file

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.deploy.compact import compact
from mtsearch.deploy.serving import Serving
from mtsearch.models import build_model, lsuv_, normal_
from mtsearch.testing import ArchitectureConformance

torch.set_num_threads(1)

CARD = TaskCard(name="restored", kind="restoration", outputs=1)
SHAPE = (1, 12, 12)
KTDE = schema.BackboneKTDEConfig(blocks=2, width=4)
VDSR = schema.BackboneVDSRConfig(depth=4, width=4)
VIEWS = (
    "image",
    {"name": "resampled", "filter": "nearest"},
    {"name": "resampled", "filter": "bicubic", "factor": 3},
)


def upscaler(folder, seed=3, backbone=VDSR):
    """A network of one restoration with its file."""
    torch.manual_seed(seed)
    network = build_model(
        schema.HPSConfig(), backbone, [CARD.model_copy(update={"name": "other"})], SHAPE
    ).eval()
    save_file(network.state_dict(), folder / "model.safetensors")
    return network, {"name": "network", "backbone": VDSR, "weights": folder / "model.safetensors"}


def built(inputs=VIEWS, tasks=(CARD,), **settings):
    torch.manual_seed(0)
    settings = schema.MixingConfig.model_validate(
        {"branches": len(inputs), "inputs": inputs, **settings}
    )
    return build_model(settings, KTDE, tasks, SHAPE).eval()


class TestDifferentInputs(ArchitectureConformance):
    settings = schema.MixingConfig.model_validate({"branches": 3, "inputs": VIEWS})
    backbone = KTDE
    shape = SHAPE
    tasks = (CARD, CARD.model_copy(update={"name": "again"}))


def test_every_branch_corrects_what_it_sees():
    model = built(transfer=False)
    for head in model.heads:
        torch.nn.init.zeros_(head.correct.weight)
    x = torch.rand(2, *SHAPE)
    small = torch.nn.functional.avg_pool2d(x, 2)
    views = [x, small.repeat_interleave(2, 2).repeat_interleave(2, 3)]
    views.append(
        torch.nn.functional.interpolate(
            torch.nn.functional.avg_pool2d(x, 3), scale_factor=3, mode="bicubic"
        )
    )
    torch.testing.assert_close(model(x)["restored"], sum(views) / 3)


def test_mixing_by_the_identity_is_no_mixing():
    """Invariant 18."""
    model, off = built(), built(transfer=False)
    off.load_state_dict(model.state_dict(), strict=False)
    x = torch.rand(2, *SHAPE)
    assert not torch.allclose(model(x)["restored"], off(x)["restored"], atol=1e-4)
    torch.nn.init.eye_(model.mixer.weight)
    torch.testing.assert_close(model(x)["restored"], off(x)["restored"])


def test_mixing_preserves_equal_branches_and_inputs():
    """Invariant 18."""
    model = built(inputs=("image",) * 3)
    for part in (model.trunks, model.heads):
        for other in part[1:]:
            other.load_state_dict(part[0].state_dict())
    x = torch.rand(2, *SHAPE)
    before = model.auxiliary_outputs(x, model.share(x)) or model._outputs(x, model.share(x), None)
    with torch.no_grad():
        model.mixer.weight.copy_(torch.rand(3, 3))
        model.mixer.weight.div_(model.mixer.weight.sum(1, keepdim=True))
    after = model._outputs(x, model.share(x), None)
    torch.testing.assert_close(after["restored"], before["restored"])


def test_frozen_input_network_keeps_its_loaded_weights(tmp_path):
    network, entry = upscaler(tmp_path)
    model = built(inputs=(entry, "image")).train()
    x = torch.rand(8, *SHAPE)
    torch.testing.assert_close(model._branch_inputs(x)[0], network(x)["other"])
    before = copy.deepcopy(model.inputs.state_dict())
    listed = {id(p) for p in [*model.shared_parameters(), *model.task_parameters("restored")]}
    assert not any(p.requires_grad or id(p) in listed for p in model.inputs.parameters())
    assert not any(module.training for module in model.inputs[0].modules())
    normal_(model)
    lsuv_(model, x, torch.Generator().manual_seed(0))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    model(x)["restored"].square().mean().backward()
    optimizer.step()
    after = model.inputs.state_dict()
    assert before and all(torch.equal(value, after[name]) for name, value in before.items())


def test_an_exports_weights_are_taken(tmp_path):
    network, entry = upscaler(tmp_path)
    serving = Serving(network, (0.0,), (1.0,))
    save_file(compact(serving, SHAPE).model.state_dict(), tmp_path / "export.safetensors")
    x = torch.rand(2, *SHAPE)
    found = built(inputs=({**entry, "weights": tmp_path / "export.safetensors"},))
    torch.testing.assert_close(found._branch_inputs(x)[0], serving(x)["other"])


def test_a_network_with_frozen_inputs_is_exported_whole(tmp_path):
    _, entry = upscaler(tmp_path)
    model = built(inputs=(entry, {"name": "resampled"}))
    x = torch.rand(2, *SHAPE)
    program = torch.export.export(model, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    y = torch.rand(5, *SHAPE)
    torch.testing.assert_close(program.module()(y)["restored"], model(y)["restored"])


def test_branch_losses_train_every_branch():
    x = torch.rand(2, *SHAPE)
    assert built().auxiliary_outputs(x, built().share(x)) == {}
    model = built(branch_losses=True)
    shared = model.share(x)
    outputs = model.auxiliary_outputs(x, shared)["restored"]
    assert len(outputs) == 3
    torch.testing.assert_close(model(x)["restored"], sum(outputs) / 3)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"branches": 2, "inputs": ["image"]},
            "should have as many `inputs` as `branches`, or none. Found 1 for 2",
        ),
        ({"branch_losses": True}, "does not use `branch_losses` with one branch a task"),
        (
            {"branches": 1, "inputs": ["picture"]},
            "is unknown: .picture.. Known here: `image`, `network`, `resampled`",
        ),
    ],
)
def test_what_cannot_be_is_refused(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        schema.MixingConfig.model_validate(settings)


def test_invalid_input_files_and_factors_are_refused(tmp_path):
    _, entry = upscaler(tmp_path)
    with pytest.raises(
        BadInput, match=r"does not fit the backbone `vdsr` on images of \(1, 12, 12\)"
    ):
        built(inputs=({**entry, "backbone": {"name": "vdsr", "depth": 5, "width": 4}},))
    with pytest.raises(BadInput, match=r"`trial.architecture.inputs` should be an existing file"):
        built(inputs=({**entry, "weights": tmp_path / "nothing"},))
    with pytest.raises(BadInput, match=r"sides are multiples of it\. Found 12 x 12"):
        built(inputs=({"name": "resampled", "factor": 5},))
    save_file({"trunk.x": torch.zeros(1)}, tmp_path / "headless.safetensors")
    with pytest.raises(BadInput, match="should contain a network of one task"):
        built(inputs=({**entry, "weights": tmp_path / "headless.safetensors"},))
