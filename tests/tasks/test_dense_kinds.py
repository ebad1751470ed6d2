"""Depth and surface normals: figures against independent formulas, missing pixels, augmentation."""

import math

import numpy as np
import pytest
import torch

from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.config.schema import Augment
from mtsearch.data import Batches
from mtsearch.data.types import Split
from mtsearch.tasks import check_geometry, constant_error, hooks_of, meter_for, task_loss, unchanged
from mtsearch.testing import TaskKindConformance

CPU = torch.device("cpu")
DEPTH = TaskCard(name="d", kind="depth")
NORMALS = TaskCard(name="n", kind="normals")


def seeded(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


def figures(task, output, labels):
    meter = meter_for(task, CPU)
    meter.update(output, labels)
    return meter.compute()


def test_depth_figures_match_numpy():
    labels, output = seeded(5, 1, 7, 9).abs() * 4 + 0.5, seeded(5, 1, 9, 7).view(5, 1, 7, 9) * 3
    labels[0] = math.nan
    labels[1, 0, :3] = 0.0
    labels[2, 0, 0, 0] = math.inf
    true, found = labels.double().numpy().ravel(), output.double().numpy().ravel()
    kept = np.isfinite(true) & (true > 0)
    true, found = true[kept], found[kept]
    with np.errstate(divide="ignore"):
        ratio = np.where(found > 0, np.maximum(found / true, true / found), np.inf)
    expected = {
        "loss": np.abs(found - true).mean(),
        "error": np.abs(found - true).mean(),
        "rel_error": 100 * (np.abs(found - true) / true).mean(),
        "rmse": math.sqrt(((found - true) ** 2).mean()),
        "delta1": 100 * (ratio < 1.25).mean(),
    }
    assert figures(DEPTH, output, labels) == pytest.approx(expected, rel=1e-5)


def test_normals_figures_match_numpy():
    labels, output = seeded(4, 3, 6, 5), seeded(4, 3, 6, 5) + 0.4 * seeded(4, 3, 5, 6).mT
    labels[0, :, :2] = 0.0
    labels[1, 1, 3, 3] = math.nan
    true, found = (v.double().movedim(1, -1).reshape(-1, 3).numpy() for v in (labels, output))
    kept = np.isfinite(true).all(1) & (true != 0).any(1)
    true, found = true[kept], found[kept]
    lengths = np.linalg.norm(true, axis=1) * np.linalg.norm(found, axis=1)
    cosines = (true * found).sum(1) / lengths
    angles = np.degrees(np.arccos(np.clip(cosines, -1, 1)))
    found = figures(NORMALS, output, labels)
    assert found["loss"] == pytest.approx((1 - cosines).mean(), rel=1e-5)
    assert found["error"] == pytest.approx(angles.mean(), rel=1e-5)
    assert found["median"] == pytest.approx(np.median(angles), abs=0.5)  # few, far apart
    middle = np.sort(angles)[(len(angles) - 1) // 2 :][:2]
    assert middle[0] - 0.01 <= found["median"] <= middle[1] + 0.01
    for name, bound in (("within_11", 11.25), ("within_22", 22.5), ("within_30", 30)):
        assert found[name] == pytest.approx(100 * (angles < bound).mean())


@pytest.mark.parametrize("count", [1, 2, 999])
def test_median_is_within_a_bin(count):
    angles = np.random.default_rng(count).uniform(0, 180, count)
    labels = torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1).repeat(1, 1, 1, count)
    turned = np.stack([np.sin(np.radians(angles)), 0 * angles, np.cos(np.radians(angles))])
    output = torch.from_numpy(turned).float().view(1, 3, 1, count)
    low, high = np.sort(angles)[[(count - 1) // 2, count // 2]]
    assert low - 0.01 <= figures(NORMALS, output, labels)["median"] <= high + 0.01


def test_outputs_of_no_length_are_at_right_angles():
    labels = torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1)
    found = figures(NORMALS, torch.zeros(1, 3, 1, 1), labels)
    assert found["error"] == pytest.approx(90) and found["within_30"] == 0 and found["loss"] == 1


@pytest.mark.parametrize("task", [DEPTH, NORMALS])
def test_images_of_invalid_pixels_count_as_unlabelled(task):
    labels = torch.zeros(2, task.outputs, 3, 3)
    output = seeded(2, task.outputs, 3, 3).requires_grad_()
    total, count = task_loss(task, output, labels)
    assert total.item() == 0 and count.item() == 0
    assert all(math.isnan(value) for value in figures(task, output.detach(), labels).values())


def test_constant_predictors_of_dense_kinds():
    depth = torch.tensor([1.0, 3.0, math.nan, 5.0]).view(1, 1, 2, 2)
    assert constant_error(DEPTH, depth) == pytest.approx(4 / 3)
    up = torch.tensor([[0.0, 1.0], [0.0, 0.0], [1.0, 0.0]]).view(1, 3, 1, 2)
    assert constant_error(NORMALS, up) == pytest.approx(45)


def test_outputs_of_dense_kinds_are_fixed():
    assert (DEPTH.outputs, NORMALS.outputs) == (1, 3)
    with pytest.raises(ValueError, match=r"`outputs` of normals should be 3\. Found 2"):
        TaskCard(name="n", kind="normals", outputs=2)


def moved(augment, tasks, images, labels, seed=0):
    batches = Batches(
        Split(images, labels),
        batch_size=len(images),
        mean=[0.0],
        std=[1.0],
        generator=torch.Generator().manual_seed(seed),
        augment=augment,
        ignore={task.name: task.missing for task in tasks},
        hooks=hooks_of(tasks, augment),
    )
    return next(iter(batches))


MASK = TaskCard(name="m", kind="segmentation", outputs=256)
FLIP = Augment(flip=True)


def test_flip_mirrors_masks_depth_and_normals():
    height, width, count = 4, 6, 8
    pixels = torch.arange(count * height * width).view(count, 1, height, width) % 251
    normals = torch.stack([pixels[:, 0] + 1.0, pixels[:, 0] + 2.0, pixels[:, 0] + 3.0], 1)
    labels = {"m": pixels[:, 0].long(), "d": pixels + 1.0, "n": normals}
    images, found = moved(FLIP, [MASK, DEPTH, NORMALS], pixels.to(torch.uint8), labels)
    # the order is drawn, too: the first pixel of the image says which one it is
    seen = (images[:, 0] * 255).round()
    assert torch.equal(found["m"].float(), seen)
    assert torch.equal(found["d"][:, 0], seen + 1)
    sign = torch.where(seen[:, 1, 0] < seen[:, 1, 1], 1.0, -1.0)[:, None, None]
    assert 0 < (sign < 0).sum() < count
    assert torch.equal(found["n"][:, 0], sign * (seen + 1))
    assert torch.equal(found["n"][:, 1:], torch.stack([seen + 2, seen + 3], 1))


def test_zoom_divides_depth_by_the_scale():
    images = torch.zeros(16, 1, 8, 8, dtype=torch.uint8)
    labels = {"d": torch.full((16, 1, 8, 8), 6.0), "n": torch.ones(16, 3, 8, 8)}
    _, found = moved(Augment(zoom=0.5), [DEPTH, NORMALS], images, labels)
    sides = found["d"].flatten(1)[:, 0] / 6
    # LibMTL: the part of side h / sc is enlarged to h, and the depth divided by sc
    drawn = torch.rand(16, 3, generator=_after_order(16))[:, 0]
    assert torch.allclose(sides, 1 - 0.5 * drawn)
    assert torch.equal(found["n"], labels["n"])


def _after_order(count):
    generator = torch.Generator().manual_seed(0)
    torch.randperm(count, generator=generator)
    return generator


def test_pixels_from_outside_have_no_label():
    images = torch.full((4, 1, 8, 8), 255, dtype=torch.uint8)
    labels = {"d": torch.ones(4, 1, 8, 8), "n": torch.ones(4, 3, 8, 8)}
    pictures, found = moved(Augment(crop=3), [DEPTH, NORMALS], images, labels)
    outside = pictures == 0
    assert outside.any()
    assert torch.equal(found["d"].isnan(), outside)
    assert torch.equal(found["n"].isnan(), outside.expand(-1, 3, -1, -1))


@pytest.mark.parametrize("setting", [{"rotation": 10.0}, {"quarter_turns": True}])
def test_rotated_normals_are_refused(setting):
    check_geometry([DEPTH], Augment(**setting))
    with pytest.raises(BadInput, match="cannot be used with labels of normals"):
        check_geometry([DEPTH, NORMALS], Augment(**setting))


class TestDepth(TaskKindConformance):
    task = DEPTH

    def labels(self, output):
        return super().labels(output).abs() + 0.1

    def augmented(self, labels, flip, side):
        return side * labels


class TestNormals(TaskKindConformance):
    task = NORMALS

    def augmented(self, labels, flip, side):
        return labels * torch.tensor([-1.0 if flip else 1.0, 1.0, 1.0]).view(3, 1, 1)


def test_suite_finds_flips_that_keep_directions():
    class Wrong(TestNormals):
        def _hooks(self):
            return [unchanged]

    with pytest.raises(AssertionError, match="flip=True"):
        Wrong().test_geometry_gives_labels_of_augmented_images()


def test_kinds_without_geometry_are_refused():
    task = DEPTH.model_copy(update={"name": "t", "kind": "unmoved"})
    check_geometry([task], None)
    check_geometry([task], Augment(light=0.3))
    with pytest.raises(BadInput, match="the kind `unmoved` of task `t` does not say"):
        check_geometry([task], FLIP)
