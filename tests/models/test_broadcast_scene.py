"""The broadcast-scene baseline: a scene's class at every pixel."""

import pytest
import torch

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.models import build_model
from mtsearch.tasks import meter_for

SCENE = TaskCard(name="scene", outputs=3, classes=("lake", "forest", "field"))
PIXELS = TaskCard(
    name="pixels",
    kind="segmentation",
    outputs=3,
    classes=("field", "lake", "forest"),
    ignore=3,
    undefined=3,
)
TRAINED = TaskCard(
    name="pixels",
    kind="segmentation",
    outputs=4,
    classes=("field", "lake", "forest", "undefined"),
    undefined=3,
)
WRN = schema.BackboneWRNConfig(depth=10, widen=1)


def baseline(scene="predicted", pixels=PIXELS):
    torch.manual_seed(0)
    return build_model(schema.BroadcastSceneConfig(scene=scene), WRN, [SCENE, pixels], (3, 16, 8))


@pytest.mark.parametrize("pixels", [PIXELS, TRAINED])
def test_pixels_get_scene_logits_matched_by_class_name(pixels):
    model = baseline(pixels=pixels)
    out = model(torch.randn(4, 3, 16, 8))
    assert out["pixels"].shape == (4, pixels.outputs, 16, 8)
    for name in SCENE.classes:
        expected = out["scene"][:, SCENE.classes.index(name), None, None].expand(4, 16, 8)
        assert torch.equal(out["pixels"][:, pixels.classes.index(name)], expected)
    sum(v.square().mean() for v in out.values()).backward()
    parameters = [
        *model.shared_parameters(),
        *model.task_parameters("scene"),
        *model.task_parameters("pixels"),
    ]
    assert {id(p) for p in parameters} == {id(p) for p in model.parameters()}
    assert len(model.task_parameters("pixels")) == (pixels is TRAINED)


def test_labelled_scenes_replace_predictions_where_known():
    x, labels = torch.randn(4, 3, 16, 8), {"scene": torch.tensor([0, 2, 1, -1])}
    model = baseline("labelled").eval()
    predict, guess = model.predict(x, labels), model(x)
    assert predict["scene"][:3].argmax(1).tolist() == [0, 2, 1]
    assert predict["pixels"][:3, :, 5, 5].argmax(1).tolist() == [1, 0, 2]
    assert torch.equal(predict["pixels"][3], guess["pixels"][3])
    assert torch.equal(baseline().eval().predict(x, labels)["pixels"], guess["pixels"])


def test_most_frequent_class_misses_the_other_pixels():
    masks = torch.zeros(2, 16, 8, dtype=torch.int64)  # fields
    masks[0, :4] = 1  # a quarter of lake
    masks[1, 8:] = 3  # half undefined
    meter = meter_for(PIXELS, torch.device("cpu"))
    meter.update(
        baseline("labelled")
        .eval()
        .predict(torch.zeros(2, 3, 16, 8), {"scene": torch.tensor([2, 2])})["pixels"],
        masks,
    )
    figures = meter.compute()
    assert figures["pixel_error"] == pytest.approx(100 * 32 / 192)
    assert figures["error"] == pytest.approx(100 * (1 - (160 / 192 + 0) / 2))
    assert figures["pixel_error_all"] == pytest.approx(100 * 96 / 256)


@pytest.mark.parametrize(
    ("tasks", "part"),
    [
        ([SCENE], "one classification"),
        ([SCENE, SCENE.model_copy(update={"name": "other"}), PIXELS], "one classification"),
        ([SCENE, PIXELS.model_copy(update={"classes": ("field", "lake", "port")})], "lacks: port"),
    ],
)
def test_broadcast_scene_refuses_other_tasks(tasks, part):
    with pytest.raises(BadInput, match=part):
        build_model(schema.BroadcastSceneConfig(), WRN, tasks, (3, 16, 16))


def test_former_architecture_name_is_still_read():
    for given in ("painted", {"name": "painted", "scene": "labelled"}):
        settings = schema.TrialConfig.model_validate({"architecture": given})
        assert settings.model_dump()["architecture"]["name"] == "broadcast_scene"
