"""Damaged tables, archives, images and other data files: each ends in one sentence, or gives what
an independent plain reader gives."""

import csv
import io
import tarfile
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from mtsearch.config.cards import DatasetCard
from mtsearch.data.archives import open_tree
from mtsearch.data.builders import read_source
from mtsearch.data.builders.base import SplitSpec
from mtsearch.data.decoding import decode
from mtsearch.data.formats import FORMATS, Request
from mtsearch.data.trees import Tree
from tests.data.fake import image_files, write_batches, write_mnist
from tests.fuzz.damage import damaged, damaged_bytes, damages, ends_in_a_sentence

pytestmark = pytest.mark.slow


def many(count):
    return settings(
        max_examples=count, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )


class Memory(Tree):
    """Files by name, in memory."""

    def __init__(self, contents, path="memory"):
        self.contents = contents
        super().__init__(path)

    def _list(self):
        return list(self.contents)

    def read_many(self, names):
        for name in names:
            yield name, self.contents[name]


# ---------------------------------------------------------------- tables

CARD = DatasetCard.model_validate(
    {
        "name": "things",
        "title": "Things",
        "source": {
            "kind": "table",
            "images": {"title": "Things", "names": ["things"], "test_fraction": 0.25},
        },
        "tasks": [
            {"name": "shape", "outputs": 3, "classes": ["disc", "square", "star"]},
            {"name": "count", "outputs": 4},
            {"name": "size", "kind": "regression", "outputs": 1},
        ],
        "shape": [1, 2, 2],
        "mean": [0.5],
        "std": [0.25],
        "val_fraction": 0.25,
        "licence": "none",
        "how_to_get": "make them",
    }
)
COUNT = 12


def picture(number):
    buffer = io.BytesIO()
    Image.new("L", (2, 2), number).save(buffer, "PNG")
    return buffer.getvalue()


ROWS = [f"{n}.png,{('disc', 'square', 'star')[n % 3]},{n % 4},{n / 2}" for n in range(COUNT)]
TABLES = [
    "\n".join(["path,shape,count,size", *ROWS]) + "\n",
    "\r\n".join(["\ufeffpath;shape;count;size", *(row.replace(",", ";") for row in ROWS)]),
    "\n".join(['size,"path",count,shape', *(f'{n},"{n}.png",,star' for n in range(COUNT))]),
]


def plain_rows(content):
    """Image number -> labels, by the csv module alone."""
    text = content.decode("utf-8-sig")
    for delimiter in ",;\t":
        lines = [
            [cell.strip() for cell in line]
            for line in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        ]
        lines = [line for line in lines if any(line)]
        if "path" in lines[0]:
            break
    rows = [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]
    return {int(row["path"].rpartition("/")[2].removesuffix(".png")): labels(row) for row in rows}


def labels(row):
    shape, count, size = row["shape"], row["count"], row["size"]
    return (
        ("disc", "square", "star").index(shape) if shape else -1,
        int(count) if count else -1,
        repr(float(np.float32(float(size or "nan")))),
    )


@many(1500)
@given(text=damaged(TABLES))
def test_damaged_tables(text):
    content = text.encode("utf-8", "surrogatepass")
    files = {f"{number}.png": picture(number) for number in range(COUNT)}
    found = {}

    def work():
        tree = Memory({**files, "labels.csv": content})
        spec = SplitSpec(val_fraction=0.25, seed=1)
        sides = read_source(CARD).compose(CARD, {"images": SimpleNamespace(tree=tree)}, spec)
        for side in sides.values():
            images = np.asarray(side.images)  # rows may be read when needed
            for image, *values in zip(images, *side.labels, strict=True):
                shape, count, size = (value.item() for value in values)
                found[int(image[0, 0, 0])] = (shape, count, repr(size))

    if ends_in_a_sentence(work) is None:
        assert found == plain_rows(content)


# ---------------------------------------------------------------- archives

MEMBERS = {f"set/{name}/{n}.bin": bytes([n]) * 700 for name in "ab" for n in range(3)}


def zipped(compression):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in MEMBERS.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(mode):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in MEMBERS.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


ARCHIVES = {
    "stored.zip": zipped(zipfile.ZIP_STORED),
    "deflated.zip": zipped(zipfile.ZIP_DEFLATED),
    "plain.tar": tarred("w"),
    "gzip.tar.gz": tarred("w:gz"),
    "bzip2.tar": tarred("w:bz2"),
    "xz.tar": tarred("w:xz"),
}


def plain_members(path):
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
            return {name: archive.read(name) for name in names}
    with tarfile.open(path, "r:*") as archive:
        return {
            member.name: archive.extractfile(member).read() for member in archive if member.isfile()
        }


def shown(name):
    return not any(part.startswith(".") for part in name.removeprefix("./").split("/"))


@many(1500)
@given(name=st.sampled_from(list(ARCHIVES)), data=st.data())
def test_damaged_archives(tmp_path_factory, name, data):
    folder = tmp_path_factory.getbasetemp() / "archives"
    folder.mkdir(exist_ok=True)
    path, whole = folder / name, ARCHIVES[name]
    path.write_bytes(damaged_bytes(whole, data.draw(damages(len(whole)))))
    found = {}

    def work():
        tree = open_tree(path)
        found.update(tree.read_many(tree.files))

    if ends_in_a_sentence(work) is None:
        expected = {name: content for name, content in plain_members(path).items() if shown(name)}
        assert found == expected
    path.unlink()
    assert list(folder.iterdir()) == []


# ---------------------------------------------------------------- images


def image(form, mode="RGB", **options):
    pixels = np.arange(12 * 9 * 3, dtype=np.uint8).reshape(9, 12, 3) * 3
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, form, **options)
    return buffer.getvalue()


IMAGES = [
    image("PNG"),
    image("PNG", "P"),
    image("PNG", "1"),
    image("JPEG"),
    image("JPEG", "CMYK"),
    image("BMP"),
    image("GIF", "P"),
    image("TIFF"),
    image("TIFF", compression="tiff_lzw"),
    image("WEBP"),
    image("PPM"),
]


@many(2500)
@given(whole=st.sampled_from(IMAGES), data=st.data())
def test_damaged_images(whole, data):
    content = damaged_bytes(whole, data.draw(damages(len(whole))))
    found = []

    def work():
        found.append(decode(content, Request((3, 9, 12), resize="bilinear"), "x"))

    if ends_in_a_sentence(work) is None:
        opened = Image.open(io.BytesIO(content))
        opened.load()
        if opened.mode in ("1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "YCbCr"):
            plain = ImageOps.exif_transpose(opened.convert("RGB")).resize(
                (12, 9), Image.Resampling.BILINEAR
            )
            assert np.array_equal(found[0], np.asarray(plain))
        assert found[0].shape == (9, 12, 3) and found[0].dtype == np.uint8


# ---------------------------------------------------------------- formats of image sets


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """The files of a set by the name of its format."""
    folder = tmp_path_factory.mktemp("sets")
    write_mnist(folder / "idx", 6, 3, zipped=False)
    write_batches(folder / "cifar10_batches", 2, 2)
    found = {
        name: {path.name: path.read_bytes() for path in (folder / name).iterdir()}
        for name in ("idx", "cifar10_batches")
    }
    files = image_files(20, 10)
    found["class_folders"] = files
    listed = {
        side: [[file.split("/")[2], file.split("/", 2)[2]] for file in files if f"/{side}/" in file]
        for side in ("train", "test")
    }
    found["json_lists"] = {
        "train.json": json_text(listed["train"]),
        "val.json": json_text(listed["test"]),
        **{f"train/{file.split('/', 2)[2]}": files[file] for file in files if "/train/" in file},
        **{f"val/{file.split('/', 2)[2]}": files[file] for file in files if "/test/" in file},
    }
    return found


def json_text(records):
    import json

    return json.dumps(records).encode()


@many(1500)
@given(
    kind=st.sampled_from(["idx", "cifar10_batches", "json_lists", "class_folders"]), data=st.data()
)
def test_damaged_image_sets(sets, kind, data):
    """One file is damaged: a sentence, or arrays of the same form."""
    files = dict(sets[kind])
    name = data.draw(st.sampled_from(sorted(files)))
    files[name] = damaged_bytes(files[name], data.draw(damages(min(len(files[name]), 400))))
    shape = (1, 28, 28) if kind == "idx" else (3, 32, 32)

    def work():
        made = FORMATS[kind].find(Memory(files))
        for split in made.splits:
            found = made.read(split, Request(shape))
            assert found.images.dtype == np.uint8 and found.images.shape[1:] == (
                *shape[1:],
                shape[0],
            )
            assert len(found.labels) == len(found.images)

    ends_in_a_sentence(work)
