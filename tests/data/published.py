"""Synthetic trees in exactly the form in which the files of published datasets are distributed."""

import numpy as np
from scenes import picture
from test_table_files import npy

from mtsearch.data.cards import load_card


def celeba(count=30):
    """name -> bytes of CelebA: padded columns, the number of images in the first line."""
    card = load_card("celeba")
    names = [task.column or task.name for task in card.tasks]
    # every split has both classes of every attribute
    signs = np.where((np.arange(count)[:, None] + np.arange(40)) % 2, 1, -1)
    files = [f"{number + 1:06d}.jpg" for number in range(count)]
    rows = ["  ".join([f, *(f"{s:2d}" for s in row)]) for f, row in zip(files, signs, strict=True)]
    splits = [min(2, 3 * number // count) for number in range(count)]
    lists = [f"{f} {s}" for f, s in zip(files, splits, strict=True)]
    pictures = {f"celeba/img_align_celeba/{f}": picture(n, 218, 178) for n, f in enumerate(files)}
    attributes = "\n".join([str(count), " ".join(names) + " ", *rows, ""])
    tree = {
        "celeba/list_attr_celeba.txt": attributes.encode(),
        "celeba/list_eval_partition.txt": "\n".join([*lists, ""]).encode(),
        **pictures,
    }
    return tree, signs


def dense(folder, train=8, val=3, height=36, width=48, classes=13, normal=True):
    """name -> bytes of NYUv2, or of Cityscapes without normals: floats as numpy wrote them."""
    tree = {}
    for split, count in (("train", train), ("val", val)):
        for number in range(count):
            rng = np.random.default_rng(number + (1000 if split == "val" else 0))
            label = rng.integers(-1, classes, (height, width)).astype(np.float64)
            depth = rng.uniform(0.7, 9, (height, width, 1))
            depth[:2] = 0
            vectors = rng.normal(size=(height, width, 3))
            vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
            vectors[:, :2] = 0
            image = rng.integers(0, 256, (height, width, 3)) / 255
            arrays = {"image": image, "label": label, "depth": depth}
            arrays |= {"normal": vectors} if normal else {}
            for name, array in arrays.items():
                tree[f"{folder}/{split}/{name}/{number}.npy"] = npy(array)
    return tree


def office_home(per_class=5):
    """name -> bytes of Office-Home, without its lists."""
    classes = load_card("office_home").tasks[0].classes
    domains = ("Art", "Clipart", "Product", "Real World")
    return {
        f"{domain}/{name}/{number + 1:05d}.jpg": picture(
            (place * per_class + number) * 4 + which, 12, 12
        )
        for which, domain in enumerate(domains)
        for place, name in enumerate(classes)
        for number in range(per_class)
    }
