"""Masks of images that have an EXIF orientation."""

import io

import numpy as np
import pytest
from PIL import Image

from mtsearch.config.errors import BadInput
from mtsearch.data.formats import Request
from mtsearch.data.formats.mask_folders import MaskFolders
from mtsearch.data.trees import Folder

UPRIGHT = np.arange(8, dtype=np.uint8).reshape(4, 2)  # height 4, width 2


def saved(array, orientation=1, form="PNG"):
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(buffer, form, exif=exif)
    return buffer.getvalue()


def read(root, image, mask, ending="png"):
    for folder, content, end in (("image", image, "png"), ("label_gray", mask, ending)):
        path = root / folder / "a" / f"1.{end}"
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    found = MaskFolders.find(Folder(root)).read("all", Request((1, 4, 2)))
    return found.images[0, ..., 0], found.masks[0]


@pytest.mark.parametrize(
    ("mask", "orientation"), [(UPRIGHT, 1), (np.rot90(UPRIGHT), 1), (np.rot90(UPRIGHT), 6)]
)
def test_mask_is_aligned_with_upright_image(tmp_path, mask, orientation):
    image = saved(np.rot90(UPRIGHT) * 30, 6)
    pixels, numbers = read(tmp_path, image, saved(mask, orientation))
    assert (pixels == UPRIGHT * 30).all() and (numbers == UPRIGHT).all()


def test_ambiguous_mask_is_refused(tmp_path):
    with pytest.raises(BadInput, match="orientation 3 but the mask has none"):
        read(tmp_path, saved(UPRIGHT[::-1, ::-1], 3), saved(UPRIGHT))


def test_jpeg_mask_is_refused(tmp_path):
    with pytest.raises(BadInput, match="is a JPEG, whose compression changes class numbers"):
        read(tmp_path, saved(UPRIGHT), saved(UPRIGHT, form="JPEG"), "jpg")
