"""Batches: ordered and exact without a generator; seeded and equal to a plain reference with
one."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mtsearch.config.schema import Augment
from mtsearch.data import Batches, Split
from mtsearch.data.transforms import Move, draw, pack, source_pixels, unpack

FORMATS = [torch.contiguous_format, torch.channels_last]


def split(count=37, shape=(3, 6, 8), seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=generator)
    return Split(
        images,
        {
            "number": torch.arange(count),
            "dense": images[:, 0].long(),
            "real": torch.rand(count, generator=generator),
        },
    )


def batches(data, **settings):
    channels = data.images.shape[1]
    given = {
        "batch_size": 8,
        "mean": (0.4, 0.5, 0.6, 0.3, 0.2)[:channels] * (1 + channels // 6),
        "std": (0.2, 0.3, 0.25, 0.2, 0.1)[:channels],
    }
    return Batches(data, **(given | settings))


def by_hand(images, mean, std):
    shape = (1, -1, 1, 1)
    return (images.float() / 255 - torch.tensor(mean).view(shape)) / torch.tensor(std).view(shape)


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("channels", [1, 3])
def test_without_generator_passes_are_ordered_and_complete(memory_format, channels):
    data = split(shape=(channels, 6, 8))
    loader = batches(data, memory_format=memory_format)
    first, second = list(loader), list(loader)
    assert len(loader) == len(first) == 5 and [len(x) for x, _ in first] == [8, 8, 8, 8, 5]
    images = torch.cat([x for x, _ in first])
    assert images.dtype == torch.float32 and all(
        x.is_contiguous(memory_format=memory_format) for x, _ in first
    )
    torch.testing.assert_close(
        images,
        by_hand(data.images, (0.4, 0.5, 0.6)[:channels], (0.2, 0.3, 0.25)[:channels]),
        rtol=0,
        atol=2e-6,
    )
    assert torch.cat([y["number"] for _, y in first]).tolist() == list(range(37))
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(first, second, strict=True))


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("augment", [None, Augment(rotation=20, crop=2, flip=True)])
def test_shuffled_passes_contain_every_example_once(memory_format, augment):
    def run(seed):
        return list(
            batches(
                split(),
                memory_format=memory_format,
                generator=torch.Generator().manual_seed(seed),
                augment=augment,
            )
        )

    a, b, c = run(0), run(0), run(1)
    assert all(
        torch.equal(x, y) and torch.equal(p["number"], q["number"])
        for (x, p), (y, q) in zip(a, b, strict=True)
    )
    order = torch.cat([labels["number"] for _, labels in a]).tolist()
    assert sorted(order) == list(range(37)) and order != list(range(37))
    assert order != torch.cat([labels["number"] for _, labels in c]).tolist()
    assert all(x.is_contiguous(memory_format=memory_format) for x, _ in a)


def test_shuffled_batches_keep_images_and_labels_paired():
    data = split()
    for images, labels in batches(data, generator=torch.Generator().manual_seed(3)):
        torch.testing.assert_close(
            images,
            by_hand(data.images[labels["number"]], (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)),
            rtol=0,
            atol=2e-6,
        )
        assert torch.equal(labels["real"], data.labels["real"][labels["number"]])


def test_nothing_but_the_given_generator_is_drawn_from():
    before = torch.random.get_rng_state()
    list(
        batches(
            split(),
            generator=torch.Generator().manual_seed(0),
            augment=Augment(rotation=9, crop=1, flip=True),
        )
    )
    assert torch.equal(before, torch.random.get_rng_state())


def test_both_memory_formats_give_the_same_values():
    augment = Augment(rotation=30, crop=2, flip=True)
    for part in (None, augment):
        a, b = (
            list(
                batches(
                    split(),
                    memory_format=f,
                    generator=torch.Generator().manual_seed(0),
                    augment=part,
                )
            )
            for f in FORMATS
        )
        assert all(torch.equal(x, y) for (x, _), (y, _) in zip(a, b, strict=True))


def moved_plainly(image, flip, angle, offset, fill):
    """Plain reference implementation, pixel by pixel: mirror; rotate about the centre, nearest
    pixel; pad and crop."""
    height, width = image.shape
    source = [list(reversed(row)) if flip else list(row) for row in image.tolist()]
    middle_y, middle_x = (height - 1) / 2, (width - 1) / 2
    rotated = [[fill] * width for _ in range(height)]
    for i in range(height):
        for j in range(width):
            y = math.cos(angle) * (i - middle_y) + math.sin(angle) * (j - middle_x) + middle_y
            x = math.cos(angle) * (j - middle_x) - math.sin(angle) * (i - middle_y) + middle_x
            y, x = round(y), round(x)
            if 0 <= y < height and 0 <= x < width:
                rotated[i][j] = source[y][x]
    out = [[fill] * width for _ in range(height)]
    for i in range(height):
        for j in range(width):
            y, x = i + int(offset[0]), j + int(offset[1])
            if 0 <= y < height and 0 <= x < width:
                out[i][j] = rotated[y][x]
    return torch.tensor(out)


@given(
    st.booleans(),
    st.floats(-180, 180),
    st.integers(-4, 4),
    st.integers(-4, 4),
    st.sampled_from([(6, 8), (7, 7), (5, 4)]),
)
@settings(max_examples=40, deadline=None)
def test_one_gather_equals_pixelwise_augmentation(flip, degrees, down, right, size):
    height, width = size
    image = torch.arange(1, height * width + 1, dtype=torch.uint8).view(1, 1, height, width)
    angle = math.radians(degrees)
    index = source_pixels(
        Move(
            torch.tensor([flip]), torch.tensor([angle]), torch.tensor([[float(down), float(right)]])
        ),
        height,
        width,
    )
    out = torch.empty(1, 1, height * width)
    unpack([word.gather(1, index) for word in pack(image)], out)
    plain = moved_plainly(image[0, 0], flip, angle, (down, right), 0)
    different = (out.view(height, width) != plain).sum()
    # Float32 and float64 round a coordinate that is half a pixel, to the last digit, differently;
    # only such pixels may differ.
    halves = sum(
        near_half(i, j, angle, height, width, down, right)
        for i in range(height)
        for j in range(width)
    )
    assert different <= halves


def near_half(i, j, angle, height, width, down, right):
    y0, x0 = i + down - (height - 1) / 2, j + right - (width - 1) / 2
    y = math.cos(angle) * y0 + math.sin(angle) * x0 + (height - 1) / 2
    x = math.cos(angle) * x0 - math.sin(angle) * y0 + (width - 1) / 2
    return any(abs(v % 1 - 0.5) < 1e-4 for v in (y, x))


def test_known_moves():
    image = torch.arange(1, 10, dtype=torch.uint8).view(1, 1, 3, 3)

    def move(flip=False, degrees=0.0, down=0, right=0):
        index = source_pixels(
            Move(
                torch.tensor([flip]),
                torch.tensor([math.radians(degrees)]),
                torch.tensor([[float(down), float(right)]]),
            ),
            3,
            3,
        )
        out = torch.empty(1, 1, 9)
        unpack([word.gather(1, index) for word in pack(image)], out)
        return out.view(3, 3).int().tolist()

    assert move() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert move(flip=True) == [[3, 2, 1], [6, 5, 4], [9, 8, 7]]
    assert move(degrees=90) == [[3, 6, 9], [2, 5, 8], [1, 4, 7]]  # counter-clockwise
    assert move(down=1) == [[4, 5, 6], [7, 8, 9], [0, 0, 0]]
    assert move(right=-1) == [[0, 1, 2], [0, 4, 5], [0, 7, 8]]


def test_rotation_agrees_with_pillow():
    """Pillow's nearest neighbour, which the published loaders use, on all but pixels that lie
    between two."""
    import numpy as np
    from PIL import Image

    image = torch.randint(
        1, 256, (1, 1, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    for degrees in (-20.0, -7.3, 0.0, 3.1, 19.9):
        index = source_pixels(
            Move(torch.tensor([False]), torch.tensor([math.radians(degrees)]), torch.zeros(1, 2)),
            32,
            32,
        )
        out = torch.empty(1, 1, 1024)
        unpack([word.gather(1, index) for word in pack(image)], out)
        pillow = np.asarray(Image.fromarray(image[0, 0].numpy()).rotate(degrees))
        assert (out.view(32, 32).numpy() == pillow).mean() > 0.99


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 8, 9, 13])
def test_packing_holds_any_number_of_channels(channels):
    images = torch.randint(
        0, 256, (2, channels, 3, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    words = pack(images)
    out = torch.empty(2, channels, 5 * 6, dtype=torch.uint8)
    unpack(words, out)
    assert torch.equal(out.view(2, channels, 5, 6), torch.nn.functional.pad(images, (1, 1, 1, 1)))


def test_draws_keep_to_their_ranges():
    move = draw(Augment(rotation=20, crop=4, flip=True), 4000, torch.Generator().manual_seed(0))
    assert (
        move.angle.abs().max() <= math.radians(20)
        and move.angle.min() < math.radians(-19)
        and move.angle.max() > math.radians(19)
    )
    assert sorted(set(move.offset.flatten().tolist())) == list(range(-4, 5))
    assert 0.45 < move.flip.float().mean() < 0.55
    still = draw(Augment(flip=True), 10, torch.Generator().manual_seed(0))
    assert not still.angle.any() and not still.offset.any()


def test_dense_labels_move_with_their_image():
    data = split()
    for images, labels in batches(
        data,
        generator=torch.Generator().manual_seed(0),
        augment=Augment(rotation=40, crop=2, flip=True),
    ):
        bytes_ = (images[:, 0] * 0.2 + 0.4) * 255
        outside = labels["dense"] == -1
        assert outside.any()
        torch.testing.assert_close(
            bytes_[~outside], labels["dense"][~outside].float(), rtol=0, atol=1e-3
        )
        assert bytes_[outside].abs().max() < 1e-3


def test_each_task_ignores_pixels_by_its_own_value():
    data = split()
    first = data.images[:, 0]
    labels = {
        "road": first.long(),
        "other": first.long(),
        "depth": first.float(),
        "normals": data.images.float(),
        "height": first.double(),
    }
    data = Split(data.images, labels)
    ignore = {"road": 255, "depth": math.nan, "height": -9.0}
    augment = Augment(rotation=40, crop=2, flip=True)
    for images, moved in batches(
        data, generator=torch.Generator().manual_seed(0), augment=augment, ignore=ignore
    ):
        outside = moved["other"] == -1
        assert outside.any() and not outside.all()
        assert (moved["road"][outside] == 255).all() and (moved["height"][outside] == -9).all()
        assert moved["depth"].isnan().equal(outside) and moved["normals"].isnan().equal(
            outside[:, None].expand_as(images)
        )
        inside = ~outside
        for name in ("road", "depth", "height"):
            assert (
                moved[name].dtype == labels[name].dtype
                and (moved[name][inside] == moved["other"][inside]).all()
            )
        bytes_ = (
            images * torch.tensor((0.2, 0.3, 0.25)).view(-1, 1, 1)
            + torch.tensor((0.4, 0.5, 0.6)).view(-1, 1, 1)
        ) * 255
        torch.testing.assert_close(moved["normals"].nan_to_num(0), bytes_, rtol=0, atol=1e-3)


def test_float_labels_of_new_pixels_are_nan():
    data = split()
    data = Split(
        data.images, {"road": data.images[:, 0].long(), "depth": data.images[:, 0].float()}
    )
    for _, moved in batches(
        data, generator=torch.Generator().manual_seed(0), augment=Augment(crop=2), ignore=300
    ):
        assert (moved["road"] == 300).equal(moved["depth"].isnan())


def test_ignore_values_that_labels_cannot_hold_are_refused():
    with pytest.raises(ValueError, match="`dense`"):
        batches(
            split(),
            generator=torch.Generator(),
            augment=Augment(crop=2),
            ignore={"dense": math.nan},
        )


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"augment": Augment(flip=True)}, "generator"),
        ({"memory_format": torch.preserve_format}, "memory_format"),
    ],
)
def test_wrong_parameters_are_named(settings_, message):
    with pytest.raises(ValueError, match=message):
        list(batches(split(), **settings_))


def test_an_augmentation_that_does_nothing_needs_no_generator():
    assert len(list(batches(split(), augment=Augment()))) == 5
