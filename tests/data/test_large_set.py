"""A dataset that is larger than the memory that its preparation and its training may take."""

import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml
from PIL import Image
from test_parallel_prepare import CARD

COUNT, SIDE = 11_000, 256  # 2.2 GB of decoded images
PREPARE_MB, TRAIN_MB = 500, 800
TRAIN = """
import json, sys
import torch
from typing import Literal
from mtsearch.config.base import MethodConfig
from mtsearch.config.registry import method
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.models.base import Backbone, Branch
from mtsearch.models.registry import backbone
from mtsearch.training import Trial

@method("backbone", "coarse")
class Coarse(MethodConfig):
    name: Literal["coarse"] = "coarse"

@backbone(Coarse)
def coarse(settings, shape):
    def trunk(needs):
        body = torch.nn.Conv2d(3, 4, 32, stride=32)
        return Branch(body, torch.nn.Flatten(), needs)
    return Backbone(trunk, trunk, 4 * 64, (4, 8, 8), shape)

settings = {"architecture": "hps", "backbone": "coarse", "batch_size": 64,
            "epochs": {"search": 0, "retrain": 1}, "augment": {"flip": True}}
data = DataConfig.model_validate(json.loads(sys.argv[1]))
trial = Trial(TrialConfig.model_validate(settings), data)
print(json.dumps(next(trial)["cost/examples"]))
"""


def family(number):
    """A process and its descendants."""
    found = [number]
    for place in found:
        for task in Path(f"/proc/{place}/task").glob("*/children"):
            try:
                found += [int(word) for word in task.read_text().split()]
            except OSError:
                continue
    return found


def private_mb(number):
    """The private and the shared anonymous memory of a process, each page counted once."""
    try:
        lines = Path(f"/proc/{number}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    sizes = [int(line.split()[1]) for line in lines if line.startswith(("Pss_Anon:", "Pss_Shmem:"))]
    return sum(sizes) / 1024


def watched(words):
    """The output of a program, and the largest memory of its processes in MB."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)
    largest, ended = [0.0], threading.Event()

    def watch():
        while not ended.wait(0.2):
            largest[0] = max(largest[0], sum(map(private_mb, family(process.pid))))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    output, _ = process.communicate()
    ended.set()
    thread.join()
    assert process.returncode == 0, output
    return output, largest[0]


@pytest.mark.slow
def test_large_set_is_prepared_and_trained_in_little_memory(tmp_path):
    contents = []
    for number in range(50):
        file = io.BytesIO()
        image = Image.new("RGB", (SIDE, SIDE), (5 * number, 250 - 5 * number, 40))
        image.paste((200, 5 * number, 90), (0, 0, SIDE // 2, SIDE // 2))
        image.save(file, "jpeg", quality=50)
        contents.append(file.getvalue())
    for label in "ab":
        (tmp_path / "root" / "two" / label).mkdir(parents=True)
    for number in range(COUNT):
        path = tmp_path / "root" / "two" / "ab"[number % 2] / f"{number}.jpg"
        path.write_bytes(contents[number % 50])
    card = {**CARD, "shape": [3, SIDE, SIDE], "val_fraction": 0.02}
    card["source"] = {
        **CARD["source"],
        "images": {**CARD["source"]["images"], "test_fraction": 0.02},
    }
    (tmp_path / "two.yaml").write_text(yaml.safe_dump(card))
    data = {
        "dataset": str(tmp_path / "two.yaml"),
        "root": str(tmp_path / "root"),
        "store": str(tmp_path / "store"),
    }
    pairs = [f"data.{key}={value}" for key, value in data.items() if key != "dataset"]
    words = [sys.executable, "-m", "mtsearch", "prepare", f"dataset={data['dataset']}", *pairs]
    _, preparing = watched(words)
    output, training = watched([sys.executable, "-c", TRAIN, json.dumps(data)])
    assert json.loads(output.splitlines()[-1]) > 0.95 * COUNT
    print(f"prepare {preparing:.0f} MB, training {training:.0f} MB")
    assert preparing < PREPARE_MB and training < TRAIN_MB < COUNT * 3 * SIDE**2 / 2**20 / 2
