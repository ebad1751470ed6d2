"""What is refused before Ray starts or a trial trains."""

import pytest
import torch

from mtsearch.config.errors import BadInput
from mtsearch.config.space import Space
from mtsearch.run import main
from mtsearch.tuning.checks import check_models, check_space
from mtsearch.tuning.environment import environment_of
from tests.tuning.spaces import space


@pytest.fixture
def card():
    from mtsearch.data.cards import load_card

    return load_card("patches10_digits")


def changed(root, **trial):
    raw = space(root).raw
    return Space({**raw, "trial": {**raw["trial"], **trial}})


def network(**settings):
    return {"name": "torchvision", "model": "resnet18", **settings}


def test_models_that_can_be_built_draw_no_numbers(tmp_path, card):
    before = torch.random.get_rng_state()
    check_models(changed(tmp_path, backbone={"choice": ["cm", "mm"], "default": "cm"}), card)
    check_models(changed(tmp_path, backbone=network()), card)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    "backbone,found",
    [
        (network(model="resnet19"), r"`trial` makes no model: unknown torchvision .* `resnet19`"),
        (network(weights="no/such.pt"), r"names no file\. Found `no/such.pt`"),
        (network(model="alexnet"), r"cannot take images"),
        ({"choice": ["cm", network(model="resnet19")], "default": "cm"}, r"`trial.backbone` makes no model: unknown"),
        ({"choice": ["cm", network(model={"choice": ["resnet18", "resnet19"], "default": "resnet18"})], "default": "cm"}, "`resnet19`"),
    ],
)
def test_what_the_model_builder_refuses_is_said_before_anything_starts(tmp_path, card, backbone, found):
    with pytest.raises(BadInput, match=found) as refusal:
        check_models(changed(tmp_path, backbone=backbone), card)
    assert "\n" not in str(refusal.value)


def test_a_control_whose_model_cannot_be_built_is_named(tmp_path):
    raw = space(tmp_path).raw | {"delta_m": None, "controls": {"odd": {"backbone": network(model="resnet19")}}}
    with pytest.raises(BadInput, match=r"`controls\.odd` makes no model"):
        environment_of(Space(raw))


def test_weights_that_do_not_fit_or_are_none_are_refused(tmp_path, card):
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "other.pt")
    (tmp_path / "text.pt").write_text("no weights")
    (tmp_path / "text.safetensors").write_text("no weights")
    for name, found in (("other.pt", "does not fit"), ("text.pt", "makes no model"), ("text.safetensors", "makes no model")):
        with pytest.raises(BadInput, match=found):
            check_models(changed(tmp_path, backbone=network(weights=str(tmp_path / name))), card)


def test_weights_that_fit_are_taken(tmp_path, card):
    import torchvision

    torch.save(torchvision.models.resnet18(weights=None).state_dict(), tmp_path / "resnet18.pt")
    check_models(changed(tmp_path, backbone=network(weights=str(tmp_path / "resnet18.pt"))), card)


@pytest.mark.parametrize("device", ["cuda", {"choice": ["cpu", "cuda"], "default": "cpu"}])
def test_cuda_without_a_gpu_in_the_slot_is_refused(tmp_path, device):
    with pytest.raises(BadInput, match=r"`resources.gpu` is 0"):
        check_space(changed(tmp_path, device=device))


@pytest.mark.parametrize("flags", [[], ["--dry-run"]])
def test_the_door_refuses_a_model_that_cannot_be_built(capsys, tmp_path, flags):
    words = ["space=pareto_cm", "trial.backbone={name: torchvision, model: resnet19}", f"results.root={tmp_path / 'results'}"]
    assert main([*words, *flags]) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.count("\n") == 1 and "`resnet19`" in shown.err
    assert not (tmp_path / "results").exists()
