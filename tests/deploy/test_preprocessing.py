"""Image files give the same input in the validation, in `predict` and with a card's code."""

import io

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig
from mtsearch.data import open_dataset
from mtsearch.deploy.preprocessing import CROPS, FILTERS, Preprocessing
from mtsearch.deploy.snippet import preprocess_code

RNG = np.random.default_rng(0)


def pixels(*shape):
    small = Image.fromarray(RNG.integers(0, 256, (7, 9, 3), np.uint8))
    return np.asarray(small.resize((shape[1], shape[0]), Image.Resampling.BICUBIC))


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def files():
    """Files of all modes: name to bytes."""
    colour = Image.fromarray(pixels(37, 53))
    rotated = Image.Exif()
    rotated[0x0112] = 6
    sixteen = Image.fromarray(RNG.integers(0, 65536, (31, 45), np.uint16))
    clear = colour.convert("RGBA")
    clear.putalpha(Image.fromarray(RNG.integers(0, 256, (37, 53), np.uint8)))
    return {
        "colour.jpg": saved(colour, "JPEG"),
        "rotated.jpg": saved(colour, "JPEG", exif=rotated),
        "cmyk.jpg": saved(colour.convert("CMYK"), "JPEG"),
        "grey.jpg": saved(colour.convert("L"), "JPEG"),
        "grey.png": saved(colour.convert("L"), "PNG"),
        "sixteen.png": saved(sixteen, "PNG"),
        "sixteen.tif": saved(sixteen, "TIFF"),
        "clear.png": saved(clear, "PNG"),
        "clear_grey.png": saved(clear.convert("LA"), "PNG"),
        "palette.png": saved(colour.quantize(16), "PNG"),
        "clear_palette.gif": saved(clear.quantize(16), "GIF", transparency=0),
        "two_levels.png": saved(colour.convert("1"), "PNG"),
        "small.png": saved(colour.resize((5, 4)), "PNG"),
        "fits.bmp": saved(colour.resize((20, 16)), "BMP"),
    }


def code_of(steps):
    scope = {"model": lambda images: images}
    code, _, _ = preprocess_code(steps).partition("\n\n\noutputs")
    exec(code, scope)
    return scope["preprocess"]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize("resize", FILTERS)
def test_code_of_the_card_reads_the_same_pixels(tmp_path, resize, crop, channels):
    shape = (channels, 16, 20)
    steps = Preprocessing(shape, resize, crop, (0.5,) * channels, (0.2,) * channels)
    assert Preprocessing.from_dict(steps.as_dict(), "card.json") == steps
    preprocess = code_of(steps)
    for name, content in files().items():
        (tmp_path / name).write_bytes(content)
        expected = steps.pixels(content, name)
        assert expected.shape == shape
        assert torch.equal(preprocess(tmp_path / name), expected.float() / 255), name


def test_code_refuses_what_has_no_range(tmp_path):
    steps = Preprocessing((1, 8, 8), "box", "none", (0.5,), (0.2,))
    preprocess = code_of(steps)
    for name, array in [
        ("float.tif", np.ones((9, 9), np.float32)),
        ("wide.tif", np.ones((9, 9), np.int32)),
    ]:
        Image.fromarray(array).save(tmp_path / name)
        with pytest.raises(ValueError, match="save the image"):
            preprocess(tmp_path / name)
        with pytest.raises(BadInput):
            steps.pixels((tmp_path / name).read_bytes(), name)


@pytest.mark.parametrize("resize", FILTERS)
@pytest.mark.parametrize("kind", ["classification", "scenes_masks"])
def test_files_give_the_pixels_of_the_validation(tmp_path, kind, resize):
    centred = kind == "scenes_masks"
    names = [f"{label}/{n}" for label in ("a", "b") for n in range(1, 9)]
    found = {}
    for number, name in enumerate(names):
        size = (30 + number, 40 - number)
        content = saved(Image.fromarray(pixels(*size)), "JPEG", quality=95)
        path = tmp_path / "photos" / ("image" if centred else "") / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        found[name] = content
        if centred:
            path = tmp_path / "photos" / "label_gray" / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full(size, number // 8, np.uint8)).save(path)
    tasks = [{"name": "scene", "outputs": 2, "classes": ["a", "b"]}]
    if centred:
        tasks.append({**tasks[0], "name": "pixels", "kind": "segmentation"})
    images = {
        "title": "Photos",
        "names": ["photos"],
        "order_seed": 0,
        "test_fraction": 0.25,
        "resize": resize,
    }
    card = {
        "name": "photos",
        "title": "Photos",
        "source": {"kind": kind, "images": images},
        "tasks": tasks,
        "shape": [3, 16, 16],
        "mean": [0.5] * 3,
        "std": [0.2] * 3,
        "val_fraction": 0.25,
        "licence": "none",
        "how_to_get": "drawn",
    }
    (tmp_path / "photos.yaml").write_text(yaml.safe_dump(card))
    data = DataConfig(
        dataset=str(tmp_path / "photos.yaml"), root=str(tmp_path), store=str(tmp_path / "store")
    )
    dataset = open_dataset(data)
    steps = Preprocessing.of(dataset)
    assert (steps.resize, steps.crop, steps.exact) == (resize, ("none", "centre")[centred], True)
    read = [steps.pixels(content, name) for name, content in found.items()]
    for split in dataset.splits.values():
        for image in split.images[:]:
            assert sum(torch.equal(image, pixels) for pixels in read) == 1


def test_several_sets_are_not_exact():
    from mtsearch.config.cards import DatasetCard
    from mtsearch.data import Dataset

    def steps(source):
        card = DatasetCard(
            name="x",
            title="x",
            source=source,
            tasks=(),
            shape=(3, 8, 8),
            mean=(0.5,) * 3,
            std=(0.2,) * 3,
            val_fraction=0.2,
            licence="",
            how_to_get="",
        )
        return Preprocessing.of(Dataset(card, "x", {}, card.mean, card.std, ""))

    assert not steps({"kind": "disjoint", "members": [{"card": "a"}]}).exact
    two = {"a": {"resize": "box"}, "b": {"resize": "bicubic"}}
    assert not steps({"kind": "x", **two}).exact
    assert steps({"kind": "degraded", "images": {"resize": "bicubic"}}).resize == "bicubic"
