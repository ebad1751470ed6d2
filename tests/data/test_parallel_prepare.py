"""Preparing image files: with several processes, interrupted, and from every kind of tree."""

import io
import json
import os
import select
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import yaml
from fake import write_tar, write_tree, write_zip
from PIL import Image

from mtsearch.config.errors import BadInput, Halt
from mtsearch.config.schema import DataConfig
from mtsearch.data import decoding_pool, open_dataset, prepare, resolve, store, writing
from mtsearch.data.rows import FileRows

CARD = {
    "name": "two",
    "title": "Two",
    "source": {
        "kind": "classification",
        "images": {"title": "Two", "names": ["two"], "test_fraction": 0.2, "resize": "bilinear"},
    },
    "tasks": [{"name": "class", "outputs": 2, "classes": ["a", "b"]}],
    "shape": [3, 64, 64],
    "mean": [0.5] * 3,
    "std": [0.25] * 3,
    "val_fraction": 0.2,
    "licence": "none",
    "how_to_get": "make them",
}


def jpeg(number, orientation=1):
    random = np.random.RandomState(number)
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    pixels = random.randint(0, 256, (9, 9, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(file, "jpeg", exif=exif)
    return file.getvalue()


def files(count=240, **others):
    found = {
        f"two/{'ab'[number % 2]}/{number}.jpg": jpeg(number, 6 if number % 50 == 7 else 1)
        for number in range(count)
    }
    return {**found, **others}


@pytest.fixture
def data(tmp_path):
    write_tree(tmp_path / "root", files())
    return config(tmp_path, tmp_path / "root")


def config(folder, root, name="store"):
    (folder / "two.yaml").write_text(yaml.safe_dump(CARD))
    return DataConfig(dataset=str(folder / "two.yaml"), root=root, store=folder / name)


@pytest.fixture
def two_processes(monkeypatch):
    monkeypatch.setattr(decoding_pool, "FEW_ROWS", 1)
    monkeypatch.setattr(decoding_pool, "cores", lambda: 2)


def built(data):
    """The bytes of the store, and its manifest."""
    path = prepare(data)
    return (path / store.DATA).read_bytes(), json.loads((path / store.MANIFEST).read_text())


def test_processes_give_the_same_store(data, tmp_path, two_processes, monkeypatch):
    several = built(data)
    monkeypatch.setattr(decoding_pool, "cores", lambda: 1)
    one = built(data.model_copy(update={"store": tmp_path / "other"}))
    assert several == one
    assert one[1]["remarks"][0]["count"] == 5


def test_a_damaged_file_is_named_by_its_process(data, two_processes):
    (data.root / "two" / "a" / "100.jpg").write_bytes(b"no image")
    with pytest.raises(BadInput, match=r"The image a/100.jpg in .* cannot be read"):
        prepare(data)
    assert not list((data.store / "two").glob(".*.building-*"))


@pytest.mark.parametrize("write", [write_zip, write_tar], ids=["zip", "tar"])
def test_archives_give_the_same_arrays(data, tmp_path, write):
    checksum = built(data)[1]["checksum"]
    (tmp_path / "other").mkdir()
    archive = tmp_path / "other" / ("two.zip" if write is write_zip else "two.tar.gz")
    write(archive, {name.removeprefix("two/"): content for name, content in files().items()})
    found = built(config(tmp_path, tmp_path / "other", "archive"))[1]
    assert found["checksum"] == checksum


def test_an_interrupted_build_continues(data, tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "_PENDING", 1)
    whole = built(data.model_copy(update={"store": tmp_path / "whole"}))[1]

    def stop(done, total):
        if done > 150:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(data, stop)
    decoded = []
    blocks = FileRows.blocks

    def counted(rows, start=0, **settings):
        for block in blocks(rows, start, **settings):
            decoded.append(len(block.rows))
            yield block

    monkeypatch.setattr(FileRows, "blocks", counted)
    continued = built(data)[1]
    assert sum(decoded) < 240 - 100
    for manifest in (continued, whole):
        del manifest["data_sha256"], manifest["manifest_sha256"]
    assert continued == whole
    assert len(open_dataset(data).splits["train"]) == 154


def test_a_build_of_other_files_starts_again(data, monkeypatch):
    monkeypatch.setattr(writing, "_PENDING", 1)

    def stop(done, total):
        if done > 150:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(data, stop)
    for number in range(240):
        kind = "ab"[number % 2]
        (data.root / "two" / kind / f"{number}.jpg").write_bytes(jpeg(number + 1000))
    images = open_dataset(data).splits["test"].images
    (data.root / "two" / "b" / "239.jpg").unlink()
    assert not list(resolve(data).store.parent.glob(".*.building-*"))
    again = data.model_copy(update={"store": data.store / "again"})
    write_tree(data.root, {"two/b/239.jpg": jpeg(1239)})
    assert (open_dataset(again).splits["test"].images == images).all()


def test_processes_end_with_a_killed_caller(data):
    script = (
        "import os, signal, sys\n"
        "from mtsearch.config.schema import DataConfig\n"
        "from mtsearch.data import decoding_pool, prepare\n"
        "decoding_pool.FEW_ROWS, decoding_pool.cores = 1, lambda: 2\n"
        "def stop(done, total):\n"
        "    with open(f'/proc/self/task/{os.getpid()}/children') as file:\n"
        "        print(file.read(), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "prepare(DataConfig.model_validate_json(sys.argv[1]), stop)\n"
    )
    caller = subprocess.run(
        [sys.executable, "-c", script, data.model_dump_json()],
        stdout=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    assert caller.returncode == -signal.SIGKILL
    numbers = [int(word) for word in caller.stdout.split()]
    assert len(numbers) == 2
    for number in numbers:
        ended(number)


def ended(number):
    """Wait for the end of a process that is not a child."""
    try:
        handle = os.pidfd_open(number)
    except ProcessLookupError:
        return
    assert select.select([handle], [], [], 30)[0]


def test_a_store_that_the_disk_has_no_room_for_is_refused(data, monkeypatch):
    usage = shutil.disk_usage(data.root)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    monkeypatch.setattr(FileRows, "blocks", lambda *given, **more: pytest.fail("decoded"))
    with pytest.raises(Halt, match=r"0.0 GB free; set `data.format=encoded`"):
        prepare(data)
