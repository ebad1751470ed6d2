"""Decoding of image files of all modes to 8-bit pixels."""

import io

import numpy as np
import pytest
from PIL import Image

from mtsearch.config.errors import BadInput
from mtsearch.data.decoding import decode, image_endings
from mtsearch.data.formats import Request
from mtsearch.data.remarks import collect_remarks

RAMP = np.array([[0, 257, 32768, 65535]], np.uint16)


def saved(image, form="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def pixels(content, size=(4, 1), channels=3):
    return decode(content, Request((channels, size[1], size[0])), "x")


@pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM"])
@pytest.mark.parametrize("channels", [1, 3])
def test_16_bit_greyscale_is_scaled(form, channels):
    found = pixels(saved(Image.fromarray(RAMP), form), channels=channels)
    assert (found == np.array([0, 1, 128, 255])[None, :, None]).all()


def test_white_is_zero_tiff_is_inverted():
    content = saved(Image.fromarray(RAMP), "TIFF", tiffinfo={262: 0})
    assert pixels(content, channels=1)[0, :, 0].tolist() == [255, 254, 127, 0]


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(RAMP.astype(np.float32)),
        Image.fromarray(RAMP.astype(np.int32)),
        Image.new("LAB", (4, 1)),
    ],
    ids=["F", "I", "LAB"],
)
def test_modes_without_a_range_are_refused(image):
    with pytest.raises(BadInput, match=f"The image x has mode {image.mode}, .* 8 or 16 bits"):
        pixels(saved(image, "TIFF"))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    upright = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved(Image.fromarray(np.ascontiguousarray(stored)), exif=exif)
    with collect_remarks() as remarks:
        assert (pixels(content, (3, 2), 1)[..., 0] == upright).all()
    assert len(remarks.rows()) == (orientation > 1)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P"])
def test_transparency_is_dropped(mode):
    image = Image.new("RGBA", (4, 1), (10, 10, 10, 0)).convert(mode)
    options = {"transparency": 0} if mode == "P" else {}
    form = "TIFF" if mode == "PA" else "PNG"
    if mode == "PA":
        image = Image.new("P", (4, 1), 0).convert("PA")
        content, wanted = saved(image.convert("LA")), 0
    else:
        content, wanted = saved(image, form, **options), 10
    with collect_remarks() as remarks:
        assert (pixels(content) == wanted).all()
    assert [row["text"] for row in remarks.rows()] == ["images whose transparency was dropped"]


def test_one_bit_images_are_black_and_white():
    image = Image.fromarray(np.array([[True, False, True, False]]))
    assert pixels(saved(image))[0, :, 0].tolist() == [255, 0, 255, 0]


@pytest.mark.parametrize("form", ["GIF", "WEBP"])
def test_first_frame_of_animations_is_read(form):
    frames = [Image.new("RGB", (4, 1), (shade,) * 3) for shade in (255, 0)]
    options = {"lossless": True} if form == "WEBP" else {}
    content = saved(frames[0], form, save_all=True, append_images=frames[1:], **options)
    with collect_remarks() as remarks:
        assert (pixels(content) == 255).all()
    assert "of which the first was read" in remarks.rows()[0]["text"]


@pytest.mark.parametrize(
    "ending",
    [
        "jpg",
        "jpeg",
        "jfif",
        "png",
        "webp",
        "gif",
        "avif",
        "tif",
        "tiff",
        "bmp",
        "ppm",
        "pgm",
        "jp2",
    ],
)
def test_endings_that_pillow_reads_are_known(ending):
    assert f".{ending}" in image_endings()


@pytest.mark.parametrize(
    "content",
    [b"", b"text", saved(Image.new("RGB", (64, 64)))[:60], b"%!PS-Adobe-3.0 EPSF-3.0\n", b"GIF89a"],
)
def test_damaged_images_are_refused(content):
    with pytest.raises(BadInput, match=r"The image x cannot be read \(.*\); replace or remove it"):
        pixels(content)


def test_decompression_bomb_is_refused():
    header = saved(Image.new("1", (1, 1)))
    bomb = header[:16] + (60000).to_bytes(4, "big") * 2 + header[24:]
    with pytest.raises(BadInput, match="cannot be read"):
        pixels(bomb)


def test_cmyk_is_converted_with_a_remark():
    with collect_remarks() as remarks:
        found = pixels(saved(Image.new("CMYK", (4, 1), (0, 255, 255, 0)), "TIFF"))
    assert found[0, 0].tolist() == [255, 0, 0] and "CMYK" in remarks.rows()[0]["text"]
