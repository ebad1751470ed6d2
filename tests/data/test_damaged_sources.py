"""Files that cannot be read, archives that are refused, folders that fit no format."""

import io
import os
import resource
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pytest
import yaml
from PIL import Image

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig
from mtsearch.data import archives, prepare
from mtsearch.data.archives import open_tree
from mtsearch.data.store import read_manifest
from tests.helpers.cards import PETS

CARD = {**PETS, "shape": [3, 4, 4]}


def image(seed, form="PNG"):
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()


@pytest.fixture
def root(tmp_path):
    for number in range(16):
        path = tmp_path / "pets" / ("cat" if number % 2 else "dog") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image(number))
    return tmp_path


def config(root, **changes):
    (root / "pets.yaml").write_text(yaml.safe_dump({**CARD, **changes}))
    return DataConfig(dataset=str(root / "pets.yaml"), root=root)


def refused(root, sentence, **changes):
    with pytest.raises(BadInput, match=sentence):
        prepare(config(root, **changes))


def test_left_out_files_are_counted(root):
    for name in ("notes.txt", "README", "cat/.DS_Store", "@eaDir/x.png", "dog/Thumbs.db"):
        path = root / "pets" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    rows = read_manifest(prepare(config(root)))["sources"]["images"]["left_out"]
    assert sorted((row["text"], row["count"]) for row in rows) == [
        ("`.txt` files, which are not images", 1),
        ("files without an ending", 1),
        ("hidden files or files of an operating system", 3),
    ]


@pytest.mark.parametrize(
    ("ending", "form"),
    [
        ("webp", "WEBP"),
        ("gif", "GIF"),
        ("JPG", "JPEG"),
        ("jfif", "JPEG"),
        ("tif", "TIFF"),
        ("avif", "AVIF"),
    ],
)
def test_class_of_other_format_is_read(root, ending, form):
    for path in list((root / "pets" / "cat").iterdir()):
        path.unlink()
        path.with_suffix(f".{ending}").write_bytes(image(1, form))
    labels = read_manifest(prepare(config(root)))["labels"]["kind"]
    assert sum(split["classes"][0] for split in labels.values()) == 8


def test_class_without_readable_images_is_refused(root):
    for path in list((root / "pets" / "cat").iterdir()):
        path.rename(path.with_suffix(".raw"))
    (root / "pets" / "bird").mkdir()
    (root / "pets" / "bird" / "1.png").write_bytes(image(1))
    tasks = [{"name": "kind", "outputs": 3, "classes": ["cat", "dog", "bird"]}]
    refused(root, "class `cat` of task `kind` of `pets` has no examples", tasks=tasks)


def test_classification_with_one_class_is_refused(root):
    (root / "pets" / "cat").rename(root / "cat")
    refused(root, "contains no Pets.*has all its images in one folder, `dog`")
    (root / "pets" / "train").mkdir()
    (root / "pets" / "dog").rename(root / "pets" / "train" / "dog")
    (root / "pets" / "test").mkdir()
    (root / "cat").rename(root / "pets" / "test" / "cat")
    refused(root, "two classes or more in the training split. Found `dog` alone")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("stray.png", "has the image stray.png beside the class folders; move it out"),
        ("cat/more/1.png", "has the image cat/more/1.png in a sub-folder; move it out"),
    ],
)
def test_first_layout_error_is_named(root, name, sentence):
    path = root / "pets" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(image(1))
    refused(root, f"contains no Pets.*pets {sentence}")


def test_fifo_is_refused(root):
    os.mkfifo(root / "pets" / "cat" / "x.png")
    refused(root, r"cat/x.png is a FIFO and cannot be read; replace or remove it")


def test_fifo_archive_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pets.zip")
    refused(tmp_path, "pets.zip is a FIFO")


def test_dangling_link_is_refused(root):
    (root / "pets" / "cat" / "x.png").symlink_to("nowhere.png")
    refused(root, r"cat/x.png cannot be read \(a link to nowhere.png, No such file or directory\)")


def test_link_to_itself_is_refused(root):
    (root / "pets" / "cat" / "x.png").symlink_to("x.png")
    refused(root, r"cat/x.png cannot be read")


def test_folder_loop_is_refused(root):
    for name in ("loop", "loop2"):
        (root / "pets" / "cat" / name).symlink_to("..")
    refused(root, r"The link .*loop leads to .*pets, a folder that contains it; remove the link")


def write_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)


def write_tar(path, members):
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz"])
@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["../x.png"], "points outside the archive"),
        (["/x.png"], "points outside the archive"),
        (["a/../../x.png"], "points outside the archive"),
        (["a/x.png", "a/x.png"], "occurs twice"),
        (["a/x.png", "./a/x.png"], "occurs twice"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_archive_with_hostile_names_is_refused(tmp_path, ending, names, why):
    path = tmp_path / f"pets.{ending}"
    (write_zip if ending == "zip" else write_tar)(path, [(name, b"x") for name in names])
    with pytest.raises(BadInput, match=f"pets.{ending} is refused: its member .* {why}"):
        open_tree(path)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
)
def test_tar_with_links_or_devices_is_refused(tmp_path, kind):
    entry = tarfile.TarInfo("a/x.png")
    entry.type, entry.linkname = kind, "/etc/passwd"
    with tarfile.open(tmp_path / "pets.tar", "w") as archive:
        archive.addfile(entry)
    with pytest.raises(BadInput, match="is a link or device"):
        open_tree(tmp_path / "pets.tar")


def test_zip_with_link_is_refused(tmp_path):
    entry = zipfile.ZipInfo("a/x.png")
    entry.external_attr = 0o120777 << 16
    write_zip(tmp_path / "pets.zip", [(entry, "/etc/passwd")])
    with pytest.raises(BadInput, match="is a link or device"):
        open_tree(tmp_path / "pets.zip")


def test_encrypted_zip_is_refused(tmp_path):
    path = tmp_path / "pets.zip"
    write_zip(path, [("a/x.png", b"x")])
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(BadInput, match="is encrypted; decrypt the archive"):
        open_tree(path)


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz"])
def test_archive_bomb_is_refused(tmp_path, monkeypatch, ending):
    monkeypatch.setattr(archives, "RATIO_APPLIES_ABOVE", 1 << 20)
    monkeypatch.setattr(archives, "MAX_RATIO", 20 if ending != "tar" else 0)
    path = tmp_path / f"pets.{ending}"
    (write_zip if ending == "zip" else write_tar)(path, [("a/x.png", bytes(1 << 22))])
    with pytest.raises(BadInput, match=r"expands from .* unpack it yourself"):
        open_tree(path)


def test_tar_header_with_huge_size_is_refused(tmp_path):
    import gzip

    entry = tarfile.TarInfo("x")
    entry.type, entry.size = tarfile.XHDTYPE, 7 << 30
    (tmp_path / "pets.tar.gz").write_bytes(gzip.compress(entry.tobuf(tarfile.GNU_FORMAT)))
    with pytest.raises(BadInput, match=r"pets.tar.gz cannot be read"):
        open_tree(tmp_path / "pets.tar.gz")


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz"])
def test_every_truncation_is_refused(tmp_path, ending):
    path = tmp_path / f"pets.{ending}"
    members = [(f"a/{n}.png", os.urandom(600)) for n in range(3)]
    (write_zip if ending == "zip" else write_tar)(path, members)
    content = path.read_bytes()
    end = 3 * 1536 if ending == "tar" else len(content) - 1
    for cut in [*range(512, end + 1, 512), end]:
        path.write_bytes(content[:cut])
        with pytest.raises(BadInput, match="cannot be read"):
            dict((tree := open_tree(path)).read_many(tree.files))


def test_tar_with_damaged_header_is_refused(tmp_path):
    path = tmp_path / "pets.tar"
    write_tar(path, [(f"a/{n}.png", b"x") for n in range(3)])
    content = bytearray(path.read_bytes())
    content[1024] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(BadInput, match="truncated or has a damaged header"):
        open_tree(path)


def test_full_disk_leaves_no_store(root):
    config(root)
    before = {path for path in root.rglob("*")}

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))

    words = [f"dataset={root}/pets.yaml", f"data.root={root}"]
    done = subprocess.run(
        [sys.executable, "-m", "mtsearch.prepare", *words],
        capture_output=True,
        text=True,
        preexec_fn=limit,
    )
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert "The store of `pets`" in done.stderr and "`data.store=DIR`" in done.stderr
    left = {path for path in root.rglob("*")} - before
    assert not [path for path in left if path.is_file() and path.suffix != ".lock"]
