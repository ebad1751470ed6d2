"""A table without images and a network of the user's own, from an empty folder."""

import subprocess
import sys

import pytest

TABLE = """
import csv, random
random.seed(0)
with open("houses.csv", "w", newline="") as file:
    rows = csv.writer(file)
    rows.writerow(["area", "rooms", "town", "price", "sold"])
    for k in range(200):
        area, rooms = random.uniform(0.4, 2), random.randint(1, 6)
        town = random.choice(["north", "south"])
        price = 3 * area + rooms / 5 + (town == "north")
        rows.writerow([area, rooms, town, price if k % 9 else "", "yes" if area > 1 else "no"])
"""
NETWORK = """
from torch import nn

class Network(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, width))
        self.price, self.sold = nn.Linear(width, 1), nn.Linear(width, 2)

    def forward(self, x):
        features = self.trunk(x).relu()
        return {"price": self.price(features), "sold": self.sold(features)}
"""
SEARCH = """
import mtsearch, torch
run = mtsearch.search(
    model="nets.py:Network", data="houses.yaml", shared=["trunk"], trials=2,
    space={"trial.sparsity": {"mode": "target", "target": 0.3}, "trial.batch_size": 32},
)
assert len(run.trials) == 2 and len(run.front) >= 1
picked = run.pick("auto")
print(picked.load().predict(torch.tensor([[1.5, 3, 1, 0]])), picked.export("out"))
print(picked.command)
"""


@pytest.mark.slow
def test_a_table_and_a_network_are_searched(ray_cluster, tmp_path, monkeypatch, address):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(NETWORK)

    def python(*words):
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
        assert done.returncode == 0, f"{done.stdout[-1500:]}{done.stderr[-1500:]}"
        return done.stdout

    python("-c", TABLE)
    python("-m", "mtsearch", "prepare", "--new-card", "houses.csv", "tasks=[price,sold]")
    command = python("-c", SEARCH).splitlines()[-1]
    assert (tmp_path / "out" / "model.pt2").is_file()
    assert (tmp_path / "results" / "Network").is_dir()
    python(*command.split()[1:], "trial.epochs={search: 1, retrain: 1}")
