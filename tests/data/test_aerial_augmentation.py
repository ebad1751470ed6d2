"""Augmentation of images without an upright direction: quarter turns, zoom, light."""

import pytest
import torch

from mtsearch.config.schema import Augment
from mtsearch.data import Batches, Split
from mtsearch.data.transforms import Move, draw, is_active, source_pixels

IMAGES = torch.randint(
    0, 256, (64, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)
STILL = {"flip": torch.tensor([False]), "angle": torch.zeros(1), "offset": torch.zeros(1, 2)}


def augmented(augment, memory_format=torch.contiguous_format):
    """The images after augmentation in 0..1, and masks that hold their first channel, in the
    images' order."""
    split = Split(IMAGES, {"mask": IMAGES[:, 0].long(), "number": torch.arange(64)})
    batches = Batches(
        split,
        batch_size=64,
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
        augment=augment,
        memory_format=memory_format,
    )
    images, labels = batches.take(torch.arange(64), torch.Generator().manual_seed(3))
    return images, labels["mask"]


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_quarter_turns_keep_all_pixels_and_masks(memory_format):
    images, masks = augmented(Augment(quarter_turns=True), memory_format)
    turns = set()
    for before, image, mask in zip(IMAGES, images, masks, strict=True):
        found = [
            k
            for k in range(4)
            if torch.equal(torch.rot90(before, k, (1, 2)), (image * 255).round().byte())
        ]
        assert len(found) == 1
        assert torch.equal(mask, torch.rot90(before[0], found[0]).long())
        turns.add(found[0])
    assert turns == {0, 1, 2, 3}


def test_zoom_enlarges_a_part_that_lies_inside():
    images, masks = augmented(Augment(zoom=0.5))
    for before, image, mask in zip(IMAGES, images, masks, strict=True):
        # No pixel from outside, which would be -1.
        assert set(mask.flatten().tolist()) <= set(before[0].flatten().tolist())
        assert torch.equal((image[0] * 255).round().long(), mask)
    move = draw(Augment(zoom=0.5), 1000, torch.Generator().manual_seed(0))
    assert 0.5 <= move.crop[:, 0].min() < 0.52 and 0.98 < move.crop[:, 0].max() <= 1
    corner = source_pixels(Move(**STILL, crop=torch.tensor([[0.6, -1.0, 1.0]])), 8, 8).view(8, 8)
    rows, columns = corner // 10 - 1, corner % 10 - 1
    # A side of 4.2 pixel steps at the upper right.
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (
        0,
        4,
        3,
        7,
    )
    whole = source_pixels(Move(**STILL, crop=torch.tensor([[1.0, 0.3, -0.7]])), 8, 8)
    assert torch.equal(whole, source_pixels(Move(**STILL), 8, 8))


def test_light_changes_pixels_and_no_labels():
    images, masks = augmented(Augment(light=0.4))
    assert torch.equal(masks, IMAGES[:, 0].long())
    assert images.min() >= 0 and images.max() <= 1
    before = IMAGES.float() / 255
    ratio = images.mean((1, 2, 3)) / before.mean((1, 2, 3))
    assert 0.55 < ratio.min() < 0.8 and 1.2 < ratio.max() < 1.45
    assert (images.flatten(1).std(1) / before.flatten(1).std(1)).std() > 0.1


def test_what_is_switched_off_draws_nothing():
    assert not is_active(Augment())
    for augment in (Augment(quarter_turns=True), Augment(zoom=0.1), Augment(light=0.1)):
        assert is_active(augment)
    one, two = (
        draw(augment, 10, torch.Generator().manual_seed(0))
        for augment in (Augment(flip=True), Augment(flip=True, light=0.2))
    )
    assert torch.equal(one.flip, two.flip)
    assert one.crop is None and one.light is None
