"""Reading of IDX files, CIFAR-10 batches and class folders from folders, zips and tars."""

import gzip
import os
import pickle

import numpy as np
import pytest
from fake import (
    CLASSES,
    colours,
    digits,
    idx,
    image_files,
    write_batches,
    write_mnist,
    write_tar,
    write_tree,
    write_zip,
)

from mtsearch.config.errors import BadInput
from mtsearch.data.formats.cifar10_batches import load_plain
from mtsearch.data.formats.class_folders import natural
from mtsearch.data.sources import ImageSource, locate, read_train_test

MNIST = ImageSource(title="MNIST", names=("MNIST", "raw"))
CIFAR = ImageSource(title="CIFAR-10", names=("cifar-10-batches-py", "cifar-10-python", "cifar10"))
SHAPE = (3, 32, 32)


def read(root, source, shape, classes=()):
    found = locate(root, source)
    assert found is not None
    return read_train_test(found, source, shape, classes)


@pytest.mark.parametrize("place", ["MNIST/raw", "mnist", "."])
@pytest.mark.parametrize(("zipped", "dot"), [(True, False), (False, False), (False, True)])
def test_mnist_is_read_from_every_location(tmp_path, place, zipped, dot):
    write_mnist(tmp_path / place, zipped=zipped, dot=dot)
    pool, test = read(tmp_path, MNIST, (1, 28, 28))
    for side, (images, labels) in ((pool, digits(60)), (test, digits(20, 1))):
        assert (side.images[..., 0] == images).all() and (side.labels == labels).all()


def test_root_may_be_the_folder_of_the_set(tmp_path):
    write_mnist(tmp_path / "MNIST" / "raw")
    assert locate(tmp_path / "MNIST", MNIST) is not None
    assert locate(tmp_path / "MNIST" / "raw", MNIST) is not None


def test_raw_is_mnist_only_inside_mnist(tmp_path):
    write_mnist(tmp_path / "FashionMNIST" / "raw")
    write_mnist(tmp_path / "MNIST" / "raw")
    assert locate(tmp_path / "FashionMNIST", MNIST) is None
    assert locate(tmp_path / "FashionMNIST" / "raw", MNIST) is None
    assert locate(tmp_path, MNIST).tree.path == tmp_path / "MNIST"
    assert locate(tmp_path / "MNIST" / "raw", MNIST) is not None
    write_mnist(tmp_path / "raw")
    assert locate(tmp_path / "raw", MNIST) is None
    # A set with that name.
    assert locate(tmp_path / "raw", MNIST.model_copy(update={"names": ("raw",)})) is not None


def test_mnist_is_found_in_a_root_called_raw(tmp_path):
    write_mnist(tmp_path / "raw" / "FashionMNIST" / "raw")
    write_mnist(tmp_path / "raw" / "MNIST" / "raw")
    assert locate(tmp_path / "raw", MNIST).tree.path == tmp_path / "raw" / "MNIST"


def test_missing_sets_are_not_searched_recursively(tmp_path):
    write_mnist(tmp_path / "somewhere" / "deep")
    assert locate(tmp_path, MNIST) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b[:100],
        lambda b: gzip.compress(b"no idx at all"),
        lambda b: gzip.compress(idx(np.zeros((3, 28, 28), np.uint8))),
    ],
)
def test_a_damaged_idx_file_is_named(tmp_path, damage):
    write_mnist(tmp_path / "MNIST")
    file = tmp_path / "MNIST" / "train-images-idx3-ubyte.gz"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(BadInput, match=r"MNIST.*download (it|them) again"):
        read(tmp_path, MNIST, (1, 28, 28))


def layouts():
    def folder(root):
        write_batches(root / "cifar-10-batches-py")

    def nested(root):
        write_batches(root / "CIFAR10" / "cifar-10-batches-py")

    def tar(root):
        write_batches(root / "x")
        write_tar(
            root / "cifar-10-python.tar.gz",
            {f"cifar-10-batches-py/{p.name}": p.read_bytes() for p in (root / "x").iterdir()},
        )

    def tar_in_folder(root):
        tar(root)
        (root / "cifar10").mkdir()
        os.rename(root / "cifar-10-python.tar.gz", root / "cifar10" / "cifar-10-python.tar.gz")

    def flat(root):
        write_batches(root)

    return [folder, nested, tar, tar_in_folder, flat]


@pytest.mark.parametrize("write", layouts(), ids=lambda f: f.__name__)
def test_cifar10_is_read_from_every_location(tmp_path, write):
    write(tmp_path)
    pool, test = read(tmp_path, CIFAR, SHAPE)
    for side, (images, labels) in ((pool, colours(50)), (test, colours(20, 1))):
        assert (side.images == images).all() and (side.labels == labels).all()


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil",)


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps({b"data": Evil()}),
        pickle.dumps(Evil(), protocol=0),
        pickle.dumps(np.array([Evil()], object)),
    ],
)
def test_pickles_that_run_code_are_refused(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="was not loaded"):
        load_plain(content, "test_batch in x")
    assert not (tmp_path / "evil").exists()


class Call:
    def __init__(self, function, *given, state=None):
        self.parts = (function, given, state)

    def __reduce__(self):
        return self.parts


def rebuilt(dtype, shape=(1,), content=b"\0" * 8):
    """As numpy pickles an array, with a type and a shape of one's choice."""
    return Call(
        np.zeros(0).__reduce__()[0], np.ndarray, (0,), b"b", state=(1, shape, dtype, False, content)
    )


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize(
    "forged",
    [
        # An object array over bytes of the file: forged pointers.
        Call(np.ndarray, (1,), "O", b"\0" * 8),
        Call(np.ndarray, (8,), "u1", b"\0" * 8),
        Call(np.ndarray, (1,), "O"),
        rebuilt(np.dtype("O")),
        rebuilt(np.dtype("u1,O")),
        rebuilt("O"),
        Call(np.dtype, "O"),
        Call(np.zeros(0).__reduce__()[0], list, (0,), b"b"),
    ],
    ids=["buffer", "bytes", "empty", "type", "record", "name", "dtype", "kind"],
)
def test_a_pickle_cannot_forge_arrays_of_objects(forged, protocol):
    with pytest.raises(BadInput, match="was not loaded"):
        load_plain(pickle.dumps({b"data": forged}, protocol), "test_batch in x")


def test_pickles_cannot_redefine_allowed_names():
    for name in (b"cnumpy\nndarray\n", b"cnumpy\ndtype\n", b"c_codecs\nencode\n"):
        with pytest.raises(BadInput, match="was not loaded"):
            load_plain(name + b"}S'name'\nS'x'\nsb.", "x")  # BUILD with a dict as the state


@pytest.mark.parametrize("shape", [(9,), (-1,), (2**40, 2**40), (8.0,), (True, 8)])
def test_arrays_with_wrong_shapes_are_damaged(shape):
    with pytest.raises(BadInput, match="is damaged"):
        load_plain(pickle.dumps(rebuilt(np.dtype("u1"), shape), 2), "x")


def test_an_array_stored_by_columns_comes_back():
    array = np.asfortranarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
    assert (load_plain(pickle.dumps(array, 2), "x") == array).all()


@pytest.mark.parametrize(
    "call",
    [
        "builtins.eval",
        "builtins.getattr",
        "numpy.load",
        "numpy.core.multiarray.scalar",
        "pickle.loads",
        "functools.partial",
    ],
)
def test_only_listed_functions_are_looked_up(call):
    module, _, name = call.rpartition(".")
    content = f"c{module}\n{name}\n.".encode()
    with pytest.raises(BadInput, match=call.replace(".", r"\.")):
        load_plain(content, "x")


@pytest.mark.parametrize("protocol", range(6))
def test_plain_batches_of_every_pickle_protocol_are_read(protocol):
    batch = {b"data": np.arange(6, dtype=np.uint8).reshape(2, 3), b"labels": [1, 2], b"name": b"x"}
    # Arrays of protocol 5 use another function, which no official file uses.
    if protocol == 5:
        with pytest.raises(BadInput):
            load_plain(pickle.dumps(batch, protocol), "x")
        return
    loaded = load_plain(pickle.dumps(batch, protocol), "x")
    assert (loaded[b"data"] == batch[b"data"]).all() and loaded[b"labels"] == [1, 2]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80",
        pickle.dumps([1]),
        pickle.dumps({b"data": [1], b"labels": [1]}),
        pickle.dumps({b"labels": []}),
    ],
)
def test_a_batch_that_is_none_is_named(tmp_path, content):
    write_batches(tmp_path / "cifar10")
    (tmp_path / "cifar10" / "data_batch_3").write_bytes(content)
    with pytest.raises(BadInput, match="data_batch_3"):
        read(tmp_path, CIFAR, SHAPE)


@pytest.mark.parametrize(
    "ending", ["cifar10", "cifar10.zip", "cifar10.tar", "cifar10.tar.gz", "CIFAR10.tgz"]
)
@pytest.mark.parametrize("prefix", ["cifar10", "data/cifar10", ""])
def test_class_folders_are_read_from_archives(tmp_path, ending, prefix):
    files = {name.lstrip("/"): content for name, content in image_files(prefix=prefix).items()}
    if ending == "cifar10":
        write_tree(tmp_path / "cifar10", files)
    else:
        (write_zip if ending.endswith("zip") else write_tar)(tmp_path / ending, files)
    pool, test = read(tmp_path, CIFAR, SHAPE, CLASSES)
    for side, (images, labels) in ((pool, colours(50)), (test, colours(20, 1))):
        assert len(side) == len(images)
        # The official order is lost: a seeded one replaces it, and the pairs of image and
        # class hold.
        assert {(i.tobytes(), int(c)) for i, c in zip(side.images, side.labels, strict=True)} == {
            (i.tobytes(), int(c)) for i, c in zip(images, labels, strict=True)
        }
        assert (np.diff(side.labels) < 0).any()


def test_class_folder_order_follows_the_card_seed(tmp_path):
    write_zip(tmp_path / "cifar10.zip", image_files())
    write_tree(tmp_path / "b", image_files())
    sources = [CIFAR, CIFAR.model_copy(update={"order_seed": 1})]
    a, b = (read(tmp_path, source, SHAPE, CLASSES)[0] for source in sources)
    c = read(tmp_path / "b", CIFAR, SHAPE, CLASSES)[0]
    assert (a.images == c.images).all() and not (a.images == b.images).all()


def test_files_are_sorted_as_numbers():
    assert sorted(["10.png", "9.png", "a100.png", "a9.png", "100.png"], key=natural) == [
        "9.png",
        "10.png",
        "100.png",
        "a9.png",
        "a100.png",
    ]


def test_jpeg_files_are_said_to_be_lossy(tmp_path):
    write_zip(tmp_path / "cifar10.zip", image_files(ending="jpg"))
    assert locate(tmp_path, CIFAR).lossy
    write_tree(tmp_path / "b", image_files())
    assert not locate(tmp_path / "b", CIFAR).lossy


def test_trees_without_test_split_need_a_fraction(tmp_path):
    files = {
        name.replace("train/", ""): content
        for name, content in image_files().items()
        if "/train/" in name
    }
    write_tree(tmp_path, files)
    with pytest.raises(BadInput, match="test_fraction"):
        read(tmp_path, CIFAR, SHAPE)
    pool, test = read(tmp_path, CIFAR.model_copy(update={"test_fraction": 0.2}), SHAPE)
    assert (len(pool), len(test)) == (40, 10)
    assert not {i.tobytes() for i in pool.images} & {i.tobytes() for i in test.images}


def test_a_validation_folder_joins_the_training_images(tmp_path):
    files = image_files()
    write_tree(
        tmp_path,
        files
        | {
            name.replace("/test/", "/val/"): content
            for name, content in files.items()
            if "/test/" in name
        },
    )
    pool, test = read(tmp_path, CIFAR, SHAPE)
    assert (len(pool), len(test)) == (70, 20)


def test_an_unknown_class_folder_is_named(tmp_path):
    write_tree(
        tmp_path, {name.replace("ship", "boat"): content for name, content in image_files().items()}
    )
    with pytest.raises(BadInput, match="`boat`"):
        read(tmp_path, CIFAR, SHAPE, CLASSES)


def test_images_of_other_sizes_are_refused_or_scaled(tmp_path):
    write_tree(tmp_path, image_files())
    with pytest.raises(BadInput, match="add `resize: bilinear`"):
        read(tmp_path, CIFAR, (3, 16, 16))
    pool, _ = read(tmp_path, CIFAR.model_copy(update={"resize": "bilinear"}), (3, 16, 16))
    assert pool.images.shape == (50, 16, 16, 3)


def test_a_file_that_is_no_image_is_named(tmp_path):
    write_tree(tmp_path, image_files() | {"cifar10/train/cat/broken.png": b"no image"})
    with pytest.raises(BadInput, match=r"cat/broken\.png"):
        read(tmp_path, CIFAR, SHAPE)


@pytest.mark.parametrize("name", ["cifar10.zip", "cifar10.tar.gz"])
def test_a_broken_archive_is_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"half a download")
    with pytest.raises(BadInput, match=f"{name}.*download it again"):
        locate(tmp_path, CIFAR)


def test_groups_follow_the_names_of_the_files(tmp_path):
    files = {
        f"cifar10/{s}/{c}/r{n % 3}_{n}.png": v
        for s in ("train", "test")
        for c in CLASSES[:2]
        for n, v in enumerate(image_files(6, 2).values())
    }
    write_tree(tmp_path, files)
    pool, _ = read(tmp_path, CIFAR.model_copy(update={"group": r"(r\d+)_"}), SHAPE)
    assert len(set(pool.groups.tolist())) == 6
    assert all(
        len(set(pool.labels[pool.groups == g].tolist())) == 1 for g in set(pool.groups.tolist())
    )
    with pytest.raises(BadInput, match="should capture a group"):
        read(tmp_path, CIFAR.model_copy(update={"group": r"(cell\d+)_"}), SHAPE)


def test_names_are_sorted_by_the_numbers_in_them():
    names = ["9.png", "10.png", "x2", "x10", "²", "٣"]
    assert sorted(reversed(names), key=natural) == names
    long = ["0" * 5000 + "1", "7" * 5000]
    assert sorted(reversed(long), key=natural) == long
