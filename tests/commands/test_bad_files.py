"""Files that cannot be read end every command with exit code 2 and one sentence that names them."""

import io
import os

import pytest
import yaml
from PIL import Image

from mtsearch.commands.main import main
from tests.helpers.cards import PETS

SPACE = {
    "name": "pets",
    "data": {"dataset": "pets.yaml", "root": "."},
    "search": {"trials": 1},
    "objectives": ["val/kind/error"],
    "trial": {"architecture": "hps", "epochs": {"search": 1, "retrain": 1}},
    "controls": {},
}


def dangling(path):
    path.symlink_to("nowhere")


def loop(path):
    path.symlink_to(path.name)


def unreadable(path):
    path.symlink_to("/proc/self/mem")  # reading it fails for root, too


BAD = {
    "dangling link": dangling,
    "link loop": loop,
    "pipe": os.mkfifo,
    "folder": lambda path: path.mkdir(),
    "unreadable file": unreadable,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "empty file": lambda path: path.touch(),
}
PLACES = {  # key=value words of each command, by the file that is bad
    "pets.yaml": {
        "prepare": ["dataset=pets.yaml", "data.root=."],
        "train": ["space=space.yaml"],
        "run": ["space=space.yaml"],
    },
    "space.yaml": {"train": ["space=space.yaml"], "run": ["space=space.yaml"]},
    "pets/cat/3.png": {
        "prepare": ["dataset=pets.yaml", "data.root=."],
        "train": ["space=space.yaml"],
        "run": ["space=space.yaml"],
    },
    "plugin.py": {
        "prepare": ["dataset=pets.yaml", "data.root=.", "plugins=[plugin.py]"],
        "train": ["space=space.yaml", "plugins=[plugin.py]"],
        "run": ["space=space.yaml", "plugins=[plugin.py]"],
    },
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), (9, 99, 199)).save(buffer, "PNG")
    for number in range(16):
        path = tmp_path / "pets" / ("cat" if number % 2 else "dog") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(buffer.getvalue())
    (tmp_path / "pets.yaml").write_text(yaml.safe_dump(PETS))
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(SPACE))
    (tmp_path / "plugin.py").touch()
    return tmp_path


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize(
    ("file", "command"), [(file, command) for file in PLACES for command in PLACES[file]]
)
def test_bad_files_are_named(folder, capsys, kind, file, command):
    if (file, kind) in (("plugin.py", "empty file"), ("pets/cat/3.png", "folder")):
        pytest.skip("an empty plug-in and an empty folder are no error")
    path = folder / file
    path.unlink()
    BAD[kind](path)
    code = main([command, *PLACES[file][command]])
    said = capsys.readouterr().err
    assert code == 2 and said.count("\n") == 1 and "Traceback" not in said, said
    assert path.name in said
    assert not (folder / "results").exists()
