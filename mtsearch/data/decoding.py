"""Decoding of image files to 8-bit pixels.

Files of all modes are converted to greyscale or RGB as follows:

- 16-bit greyscale is scaled linearly to 8 bits: 0 -> 0, 65535 -> 255, rounded. 16-bit colour
  channels keep their high byte, as in Pillow.
- The EXIF orientation is applied, so that images are upright.
- Transparency is dropped and the colours below it are kept. Palettes are replaced by their colours.
- The first image of an animation or of a file with several pages is read.
- CMYK is converted by Pillow's formula, without its colour profile.
- Floating-point, signed, 32-bit and LAB images are refused, because they have no defined range.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from mtsearch.config.errors import BadInput
from mtsearch.data.remarks import remark

if TYPE_CHECKING:  # the formats import this module
    from mtsearch.data.formats.base import Request

# Formats that Pillow identifies by content and reads without another program (EPS needs one).
_FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "DIB", "GIF", "WEBP", "AVIF", "PPM", "JPEG2000", "QOI")
_ORIENTATION = 0x0112
_TIFF_BITS, _TIFF_PHOTOMETRIC, _TIFF_SAMPLE_FORMAT = 258, 262, 339
TRANSPOSING = (5, 6, 7, 8)  # EXIF orientations that exchange width and height


@cache
def _formats() -> tuple[str, ...]:
    """The formats that the installed Pillow can read; AVIF and others need libraries."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


@cache
def image_endings() -> tuple[str, ...]:
    """The endings of files that are read as images, in lower case, as ``.png``."""
    return tuple(
        ending for ending, name in Image.registered_extensions().items() if name in _formats()
    )


def is_image(name: str) -> bool:
    """Whether a file is read as an image, by the ending of its name."""
    return name.lower().endswith(image_endings())


def is_jpeg(name: str) -> bool:
    """Whether a file is a JPEG, by the ending of its name."""
    return name.lower().endswith((".jpg", ".jpeg", ".jpe", ".jfif"))


@dataclass(frozen=True)
class DecodedImage:
    """The first image of a file, decoded.

    Attributes:
        image: as stored, not yet rotated.
        orientation: EXIF orientation 1..8; 1 is upright.
        where: name of the file in messages.
    """

    image: Image.Image
    orientation: int
    where: str


def decode(content: bytes, request: Request, where: str) -> NDArray[np.uint8]:
    """Decode one image file to uint8 (H, W, C) in the requested shape.

    Args:
        content: bytes of the file.
        request: the requested shape and the resize filter.
        where: name of the file in messages.

    Raises:
        BadInput: the file is not a readable image, or its mode or size cannot be used.
    """
    return fit_image(convert(open_image(content, where), request.shape[0]), request, where)


def open_image(content: bytes, where: str) -> DecodedImage:
    """Decode the first image of a file.

    Raises:
        BadInput: the content is not an image, is damaged, or is too large.
    """
    try:
        with warnings.catch_warnings(record=True) as given:
            warnings.simplefilter("always")
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(content), formats=_formats())
            frames = getattr(image, "n_frames", 1)
            image.load()
            orientation = _orientation(image)
    except Exception as error:  # Pillow's plug-ins raise almost any exception for damaged files
        why = "it is not an image" if isinstance(error, UnidentifiedImageError) else _text(error)
        raise BadInput(
            f"The image {where} cannot be read ({why}); replace or remove it."
        ) from error
    if frames > 1:
        remark("images with several frames or pages, of which the first was read", where)
    if given:
        remark("images that Pillow reads with a warning, as of damaged metadata", where)
    return DecodedImage(image, orientation, where)


def convert(picture: DecodedImage, channels: int) -> Image.Image:
    """Convert to an upright image of mode L (1 channel) or RGB (3 channels).

    Raises:
        BadInput: another number of channels, or a mode that 8 bits cannot represent.
    """
    if channels not in (1, 3):
        raise BadInput(
            f"Image files have 1 or 3 channels. Found {channels} in the data card's `shape`."
        )
    image, where = picture.image, picture.where
    if picture.orientation != 1:
        remark("images rotated by their EXIF orientation", where)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        remark("images whose transparency was dropped", where)
    if image.mode == "CMYK":
        remark("CMYK images converted without their colour profile", where)
    target = "RGB" if channels == 3 else "L"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of transparency in palettes, which is a remark
        if image.mode in ("RGBa", "La"):  # colours premultiplied by alpha
            image = image.convert("RGBA" if image.mode == "RGBa" else "LA")
        return rotate(_eight_bits(image, where), picture.orientation).convert(target)


def fit_image(image: Image.Image, request: Request, where: str) -> NDArray[np.uint8]:
    """Convert an image with the right channels to uint8 (H, W, C), scaled with the request's
    filter."""
    channels, height, width = request.shape
    if image.size != (width, height):
        if request.resize is None:
            size = f"{image.size[0]}x{image.size[1]}"
            raise BadInput(
                f"The image {where} should measure {width}x{height}. Found {size}; add `resize:"
                " bilinear` to its source in the data card to scale it."
            )
        image = image.resize((width, height), Image.Resampling[request.resize.upper()])
    return np.asarray(image).reshape(height, width, channels)


def crop_centre(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The largest centred part of an image that has the aspect ratio of ``size`` (width,
    height)."""
    width, height = image.size
    wide, high = min(width, height * size[0] // size[1]), min(height, width * size[1] // size[0])
    left, top = (width - wide) // 2, (height - high) // 2
    return image if (wide, high) == image.size else image.crop((left, top, left + wide, top + high))


def rotate(image: Image.Image, orientation: int) -> Image.Image:
    """Rotate an image that is stored with this EXIF orientation (1..8) upright."""
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    return image.transpose(turns[orientation]) if orientation in turns else image


def _eight_bits(image: Image.Image, where: str) -> Image.Image:
    tags = getattr(image, "tag_v2", {})
    signed = set(_values(tags.get(_TIFF_SAMPLE_FORMAT, 1))) - {1, 4}  # 1 unsigned, 4 undefined
    # Up to version 10, Pillow gives 16-bit greyscale PNG and PGM files the mode of 32-bit integers.
    sixteen = image.mode.startswith("I;16") or (
        image.mode == "I" and image.format in ("PNG", "PPM")
    )
    if signed or (image.mode in ("I", "F", "LAB") and not sixteen):
        kind = "signed or floating-point values" if signed else "values without a defined range"
        raise BadInput(
            f"The image {where} has mode {image.mode}, whose {kind} cannot be converted to 8 bits;"
            " save it as greyscale of 8 or 16 bits, or as RGB."
        )
    if not sixteen:
        return image
    bits = _values(tags.get(_TIFF_BITS, 16))[0]
    largest = (1 << int(bits)) - 1
    values = np.asarray(image).astype(np.int64)
    if _values(tags.get(_TIFF_PHOTOMETRIC, 1))[0] == 0:  # 0 is white
        values = largest - values
    return Image.fromarray(((values * 255 + largest // 2) // largest).clip(0, 255).astype(np.uint8))


def _orientation(image: Image.Image) -> int:
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF data; image viewers ignore them too
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def _values(tag: object) -> tuple[int, ...]:
    return tag if isinstance(tag, tuple) else (tag,)  # type: ignore[return-value]


def _text(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
