"""The code that a card shows for reading an image file without mtsearch."""

from __future__ import annotations

from mtsearch.deploy.preprocessing import MODES, Preprocessing

_CODE = '''\
import numpy
import torch
from PIL import Image, ImageOps


def preprocess(path):
    """An image file as float32 ({channels}, {height}, {width}) in [0, 1], as in the validation."""
    image = Image.open(path)
    tags, png = getattr(image, "tag_v2", {{}}), image.format in ("PNG", "PPM")
    unusual = tags.get(339, 1) not in (1, (1,), (1, 1, 1), (1, 1, 1, 1))  # sample format
    sixteen = image.mode.startswith("I;16") or (image.mode == "I" and png)
    if sixteen and (tags.get(258, 16) not in (16, (16,)) or tags.get(262, 1) != 1):
        unusual = True
    if unusual or (image.mode in ("I", "F", "LAB") and not sixteen):
        raise ValueError("save the image as 8 or 16 bits of greyscale, or as RGB")
    image = ImageOps.exif_transpose(image)
    if sixteen:
        values = numpy.asarray(image).astype("int64")
        values = ((values * 255 + 32767) // 65535).clip(0, 255)
        image = Image.fromarray(values.astype("uint8"))
    if image.mode in ("RGBa", "La"):
        image = image.convert("RGBA" if image.mode == "RGBa" else "LA")
    image = image.convert("{mode}")
{crop}    image = image.resize(({width}, {height}), Image.Resampling.{filter})
    values = numpy.asarray(image).reshape({height}, {width}, {channels})
    return torch.from_numpy(values.copy()).movedim(-1, 0).float() / 255


outputs = model(preprocess("image.jpg")[None])  # the model applies mean and std
'''
_CROP = """\
    w, h = image.size
    wide, high = min(w, h * {width} // {height}), min(h, w * {height} // {width})
    left, top = (w - wide) // 2, (h - high) // 2
    image = image.crop((left, top, left + wide, top + high))
"""


def preprocess_code(steps: Preprocessing) -> str:
    """Python code that defines `preprocess(path)` with Pillow, NumPy and torch alone, and calls
    `model` with its result."""
    channels, height, width = steps.shape
    sizes = {"height": height, "width": width}
    crop = _CROP.format(**sizes) if steps.crop == "centre" else ""
    return _CODE.format(
        **sizes, channels=channels, mode=MODES[channels], crop=crop, filter=steps.resize.upper()
    )
