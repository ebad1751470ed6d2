"""Columns of tables that name masks, depth maps, normals and target images."""

import io

import numpy as np
import pytest
import torch
import yaml
from fake import write_tree
from PIL import Image
from scenes import picture

from mtsearch.commands import prepare as prepare_command
from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig
from mtsearch.data import open_dataset
from mtsearch.testing import DatasetConformance

HEIGHT, WIDTH, COUNT = 12, 16, 12
TASKS = [
    {"name": "mask", "kind": "segmentation", "outputs": 3},
    {"name": "depth", "kind": "depth", "scale": 0.001},
    {"name": "normal", "kind": "normals"},
    {"name": "clean", "kind": "restoration", "outputs": 3},
]
COLOURS = [[0, 0, 0], [255, 0, 0], [0, 255, 0]]


def png(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def values(number):
    """The labels of an image: classes, depths in metres, vectors."""
    rng = np.random.default_rng(number)
    classes = rng.integers(0, 3, (HEIGHT, WIDTH))
    depth = rng.integers(1, 9000, (HEIGHT, WIDTH))
    depth[0, :3] = 0
    normals = rng.normal(size=(HEIGHT, WIDTH, 3))
    normals[2, 2] = 0
    return classes, depth, normals


def tree(count=COUNT, table="rows.csv", **replaced):
    """name -> bytes of the set, with some files replaced."""
    files, lines = {}, ["path,mask,depth,normal,clean,split"]
    for number in range(count):
        classes, depth, normals = values(number)
        files |= {
            f"set/i/{number}.png": picture(number, HEIGHT, WIDTH),
            f"set/m/{number}.png": png(classes.astype(np.uint8)),
            f"set/d/{number}.png": png(depth.astype(np.uint16)),
            f"set/n/{number}.npy": npy(normals.astype(np.float32)),
            f"set/c/{number}.png": picture(number + 300, HEIGHT, WIDTH),
        }
        split = ("train", "val", "test")[number % 3]
        names = [f"i/{number}.png", f"m/{number}.png", f"d/{number}.png", f"n/{number}.npy"]
        lines.append(",".join([*names, f"c/{number}.png", split]))
    files[f"set/{table}"] = "\n".join(lines).encode()
    return files | replaced


def config(folder, tasks=TASKS, shape=(3, HEIGHT, WIDTH), split="split", **data):
    images = {"names": ["set"], "resize": "bilinear", "test_fraction": 0.25}
    source = {"kind": "table", "images": images, "file": "rows.csv", "split": split}
    card = {"name": "set", "source": source, "tasks": tasks, "shape": list(shape)}
    card |= {"mean": [0.5] * 3, "std": [0.5] * 3}
    (folder / "set.yaml").write_text(yaml.safe_dump(card))
    return DataConfig(dataset=str(folder / "set.yaml"), root=folder, **data)


def made(folder, files=None, **settings):
    write_tree(folder, files or tree())
    return open_dataset(config(folder, **settings))


def test_files_give_labels_of_pixels(tmp_path):
    split = made(tmp_path).splits["val"]
    for place, number in enumerate(range(1, COUNT, 3)):
        classes, depth, normals = values(number)
        assert torch.equal(split.labels["mask"][place], torch.from_numpy(classes))
        expected = torch.from_numpy(np.where(depth == 0, np.nan, depth / 1000))[None].float()
        assert torch.allclose(split.labels["depth"][place], expected, equal_nan=True)
        with np.errstate(invalid="ignore"):
            unit = normals / np.linalg.norm(normals, axis=-1, keepdims=True)
        expected = torch.from_numpy(unit).permute(2, 0, 1).float()
        found = split.labels["normal"][place]
        assert torch.allclose(found, expected, atol=1e-6, equal_nan=True)
        assert split.labels["clean"][place, :, 0, 0].tolist() == [1, (number + 300) % 256, 77]
    assert split.labels["clean"].dtype == torch.uint8


def test_ignored_numbers_above_16_bits(tmp_path):
    classes = values(1)[0].astype(np.uint16)
    classes[3] = 65535
    tasks = [{**TASKS[0], "ignore": 65535}]
    found = made(tmp_path, tree(**{"set/m/1.png": png(classes)}), tasks=tasks).splits["val"]
    assert torch.equal(found.labels["mask"][0], torch.from_numpy(classes.astype(np.int64)))


def test_palettes_are_no_depths(tmp_path):
    buffer = io.BytesIO()
    grey = Image.fromarray(np.full((HEIGHT, WIDTH), 90, np.uint8))
    grey.convert("RGB").quantize(4).save(buffer, "PNG")
    with pytest.raises(BadInput, match=r"d/1\.png .* one channel\. Found mode P"):
        made(tmp_path, tree(**{"set/d/1.png": buffer.getvalue()}))


def test_streamed_labels_equal_those_in_memory(tmp_path):
    held = made(tmp_path)
    streamed = open_dataset(config(tmp_path, load="stream"))
    for name, labels in held.splits["train"].labels.items():
        found = streamed.splits["train"].labels[name].read()
        assert found.dtype == labels.dtype
        assert torch.equal(found.nan_to_num(), labels.nan_to_num()), name


class TestConformance(DatasetConformance):
    statistics = 1.0

    @pytest.fixture(autouse=True)
    def _made(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("set")
        write_tree(folder, tree(24))
        self.data = config(folder, split=None)


def test_empty_cells_are_missing_labels(tmp_path):
    files = tree()
    lines = files["set/rows.csv"].decode().splitlines()
    lines[1] = "i/0.png,,,,,train"
    files["set/rows.csv"] = "\n".join(lines).encode()
    split = made(tmp_path, files).splits["train"]
    assert (split.labels["mask"][0] == -1).all() and (split.labels["mask"][1] >= 0).all()
    for name in ("depth", "normal", "clean"):
        assert split.labels[name][0].isnan().all() and not split.labels[name][1].isnan().all()
    number = int(split.images[1, 1, 0, 0]) + 300
    assert split.labels["clean"][1, 1, 0, 0] == pytest.approx(number % 256 / 255)


def test_labels_are_scaled_with_their_images(tmp_path):
    split = made(tmp_path, shape=(3, HEIGHT // 2, WIDTH // 2)).splits["train"]
    classes, depth, _ = values(0)
    assert torch.equal(split.labels["mask"][0], torch.from_numpy(classes[1::2, 1::2]))
    found = split.labels["depth"][0, 0]
    assert torch.allclose(found, torch.from_numpy(depth[1::2, 1::2] / 1000).float())


def test_masks_of_colours_are_read_by_the_table(tmp_path):
    files, task = tree(), {**TASKS[0], "colours": COLOURS}
    for number in range(COUNT):
        classes = values(number)[0]
        files[f"set/m/{number}.png"] = png(np.array(COLOURS, np.uint8)[classes])
    split = made(tmp_path, files, tasks=[task]).splits["train"]
    assert torch.equal(split.labels["mask"][0], torch.from_numpy(values(0)[0]))
    grey = np.array(COLOURS, np.uint8)[values(3)[0]]
    grey[1, 1] = 9
    files["set/m/3.png"] = png(grey)
    (tmp_path / "other").mkdir()
    with pytest.raises(BadInput, match=r"m/3.png .* colour \[9, 9, 9\], which is none of"):
        made(tmp_path / "other", files, tasks=[task])
    task["ignore_colour"] = [9, 9, 9]
    split = made(tmp_path / "other", files, tasks=[task]).splits["train"]
    assert split.labels["mask"][1, 1, 1] == -1 and (split.labels["mask"][1] == -1).sum() == 1


def test_normals_in_colours_are_vectors(tmp_path):
    files = tree()
    for number in range(COUNT):
        colours = np.full((HEIGHT, WIDTH, 3), (255, 128, 128), np.uint8)
        colours[0, 0] = 0  # black: no normal
        files[f"set/n/{number}.png"] = png(colours)
        files["set/rows.csv"] = files["set/rows.csv"].replace(
            f"n/{number}.npy".encode(), f"n/{number}.png".encode()
        )
    found = made(tmp_path, files, tasks=[TASKS[2]]).splits["train"].labels["normal"][0]
    assert found[:, 0, 0].isnan().all()
    assert found[:, 5, 5].tolist() == pytest.approx([1, 0, 0], abs=0.005)


def test_channels_first_arrays_are_read(tmp_path):
    files = tree()
    normals = np.moveaxis(values(0)[2], -1, 0).astype(np.float32)
    files["set/n/0.npy"] = npy(normals)
    found = made(tmp_path, files).splits["train"].labels["normal"][0, :, 4, 4].numpy()
    assert found == pytest.approx(normals[:, 4, 4] / np.linalg.norm(normals[:, 4, 4]), abs=1e-6)


BAD = {
    "m/3.png": [
        (png(np.zeros((5, 5), np.uint8)), r"as large as their image, 12x16 .* Found 5x5"),
        (png(np.full((HEIGHT, WIDTH), 255, np.uint8)), "Found 255; write `ignore: 255`"),
        (png(np.zeros((HEIGHT, WIDTH, 3), np.uint8)), "give the colour of each class as `colours`"),
    ],
    "d/3.png": [
        (npy(np.zeros((HEIGHT, 5))), r"as large as their image, 12x16 .* Found 12x5"),
        (png(np.zeros((HEIGHT, WIDTH, 3), np.uint8)), "depth map .* should have one channel"),
        (b"nothing", "cannot be read"),
    ],
    "n/3.npy": [
        (npy(np.zeros((HEIGHT, WIDTH))), r"12x16x3 .* Found 12x16"),
        (npy(np.zeros((HEIGHT, WIDTH, 3), np.int32)), "should have the type uint8"),
        (npy(np.array([{}, 1], dtype=object)), "cannot be read .its type is object"),
        (npy(np.zeros((HEIGHT, WIDTH, 3)))[:200], "cannot be read .it is too short"),
    ],
}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [(name, content, message) for name, cases in BAD.items() for content, message in cases],
    ids=[f"{name}-{place}" for name, cases in BAD.items() for place in range(len(cases))],
)
def test_wrong_files_are_refused_with_their_row(tmp_path, name, content, message):
    with pytest.raises(BadInput, match=message) as found:
        made(tmp_path, tree(**{f"set/{name}": content}))
    assert f"{name} of row 5 of rows.csv" in str(found.value)


def test_missing_label_files_are_listed_together(tmp_path):
    files = tree()
    del files["set/m/3.png"], files["set/d/4.png"]
    with pytest.raises(BadInput, match=r"'m/3.png' in `mask`, .* 'd/4.png' in `depth`"):
        made(tmp_path, files)


def test_prepare_counts_pixels(tmp_path, capsys):
    write_tree(tmp_path, tree())
    data = config(tmp_path)
    words = [f"dataset={data.dataset}", f"data.root={tmp_path}"]
    assert prepare_command.main(words) == 0
    out = capsys.readouterr().out
    assert "depth (depth): missing labels train 1.6 %" in out
    assert "not name were left out" not in out
