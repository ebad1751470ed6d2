"""A search over a network and data loaders of the user's own, on Ray."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from mtsearch.config.errors import BadInput
from mtsearch.config.objects import remove_object
from mtsearch.config.space import Space
from mtsearch.config.yaml_text import load_yaml
from mtsearch.jobs.description import TRIAL_CLASS
from mtsearch.jobs.own import OwnParts, own_space
from mtsearch.jobs.run import Run

TASKS = {"price": "regression", "sold": "classification"}
METRICS = ("val/price/error", "val/sold/error", "test/price/error")


def examples(seed, count=60):
    x = torch.randn(count, 6, generator=torch.Generator().manual_seed(seed))
    return [(row, {"price": row[0] + row[1], "sold": int(row[2] > 0)}) for row in x]


def space(root, model, **changes):
    data = {name: DataLoader(examples(k), 20) for k, name in enumerate(("train", "val", "test"))}
    given = {
        "trial.epochs": {"search": 2, "retrain": 0},
        "trial.balancing": "linear",
        "trial.sparsity": {"mode": "target", "target": 0.4},
        "search": {"trials": 2, "slots": 1},
        "results": {"root": str(root)},
        **changes,
    }
    return Space(load_yaml(own_space(OwnParts(model, data, TASKS, ["trunk"]), given), "space"))


def network():
    """A class that no process can import by name."""

    class Local(nn.Module):
        def __init__(self):
            super().__init__()
            self.trunk = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU())
            self.price, self.sold = nn.Linear(8, 1), nn.Linear(8, 2)

        def forward(self, x):
            features = self.trunk(x)
            return {"price": self.price(features), "sold": self.sold(features)}

    return Local


def figures(run):
    return {row["trial"]: [row.get(key) for key in METRICS] for row in Run(run).trials}


@pytest.mark.slow
def test_a_network_and_loaders_are_searched_and_continued(search, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Local = network()
    code, run, text = search(space(tmp_path / "one", Local), trial_class=TRIAL_CLASS)
    assert code == 0 and "data       loaders" in text, text
    found = figures(run)
    assert len(found) == 2 and all(None not in row[:2] for row in found.values())
    picked = Run(run).pick()
    x = torch.stack([x for x, _ in examples(9, 3)])
    assert len(picked.load().predict(x)) == 3 and (picked.export() / "model.pt2").is_file()
    again = search(space(tmp_path / "two", Local), trial_class=TRIAL_CLASS)[1]
    assert figures(again) == found

    key = run.config.trial["architecture"]["module"]
    remove_object(key)
    with pytest.raises(BadInput, match=r"Give it again, as `model=` of `mtsearch.resume`"):
        search.resume(run, {"search.trials": 3}, trial_class=TRIAL_CLASS)
    import mtsearch

    mtsearch.load_run(run.address, model=Local)
    code, run, text = search.resume(run, {"search.trials": 3}, trial_class=TRIAL_CLASS)
    assert code == 0 and len(figures(run)) == 3, text


@pytest.mark.slow
def test_two_workers_divide_the_batches(search, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    one, two = (
        figures(
            search(
                space(
                    tmp_path / str(workers),
                    network(),
                    workers=workers,
                    search={"trials": 1, "slots": 1},
                    resources={"cpu": 0.5},
                ),
                trial_class=TRIAL_CLASS,
            )[1]
        )
        for workers in (1, 2)
    )
    assert two["0000"] == pytest.approx(one["0000"], rel=1e-4)
