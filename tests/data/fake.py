"""Small synthetic data in every supported layout."""

import gzip
import io
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def digits(count, seed=0):
    random = np.random.RandomState(seed)
    images = random.randint(0, 256, (count, 28, 28)).astype(np.uint8)
    images[random.rand(count, 28, 28) < 0.7] = 0
    return images, (np.arange(count) % 10).astype(np.uint8)


def colours(count, seed=0):
    random = np.random.RandomState(seed + 100)
    return random.randint(0, 256, (count, 32, 32, 3)).astype(np.uint8), (
        np.arange(count) % 10
    ).astype(np.int64)


def idx(array):
    return (
        bytes([0, 0, 8, array.ndim])
        + b"".join(size.to_bytes(4, "big") for size in array.shape)
        + array.tobytes()
    )


def write_mnist(folder, train=60, test=20, *, zipped=True, dot=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name, (images, labels) in (("train", digits(train)), ("t10k", digits(test, 1))):
        for kind, array in (("images", images), ("labels", labels)):
            content = idx(array)
            file = f"{name}-{kind}{'.' if dot else '-'}idx{array.ndim}-ubyte" + (
                ".gz" if zipped else ""
            )
            (folder / file).write_bytes(gzip.compress(content) if zipped else content)


def write_batches(folder, per_batch=10, test=20):
    """CIFAR-10's official files, as Python 2 pickled them: byte strings for keys."""
    folder.mkdir(parents=True, exist_ok=True)
    images, labels = colours(5 * per_batch)
    sides = {f"data_batch_{i + 1}": slice(i * per_batch, (i + 1) * per_batch) for i in range(5)}
    for name, part in sides.items():
        _write_batch(folder / name, images[part], labels[part])
    _write_batch(folder / "test_batch", *colours(test, 1))
    (folder / "batches.meta").write_bytes(b"not read")


def _write_batch(path, images, labels):
    rows = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    batch = {
        b"batch_label": b"x",
        b"labels": [int(label) for label in labels],
        b"data": rows,
        b"filenames": [b"f.png"] * len(rows),
    }
    path.write_bytes(pickle.dumps(batch, protocol=2))


def image_files(train=50, test=20, ending="png", classes=CLASSES, prefix="cifar10"):
    """name -> bytes of {train,test}/<class>/<n>.png."""
    files = {}
    for side, (images, labels) in (("train", colours(train)), ("test", colours(test, 1))):
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, {"png": "PNG", "jpg": "JPEG"}[ending])
            files[f"{prefix}/{side}/{classes[label]}/{number // len(classes)}.{ending}"] = (
                buffer.getvalue()
            )
    return files


def write_tree(root, files):
    for name, content in files.items():
        path = Path(root) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def write_zip(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.writestr("__MACOSX/cifar10/._0.png", b"rubbish")


def write_tar(path, files):
    with tarfile.open(path, "w:gz" if str(path).endswith("gz") else "w") as archive:
        for name, content in reversed(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def write_root(root, train=50, test=20):
    """A root with both CIFAR-10 (official) and MNIST (torchvision's folder)."""
    write_batches(root / "cifar-10-batches-py", train // 5, test)
    write_mnist(root / "MNIST" / "raw", train + 10, test)
    return root
