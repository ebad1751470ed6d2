"""Trials that read the features of a frozen trunk from files."""

import json
import os
import shutil

import pytest
import torch

from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.data import open_dataset, resolve
from mtsearch.data.feature_batches import FeatureBatches, Features, has_features
from mtsearch.data.features import MANIFEST, folder_of
from mtsearch.training import Trial
from mtsearch.training import features as module

AL = {"name": "chebyshev_al"}  # measures losses on training images without augmentation
HEAD = {"name": "cm", "tune": "head"}


@pytest.fixture
def data(tmp_path):
    """Settings of a dataset with a store of its own."""
    return DataConfig(dataset="patches10_digits", limit=100, store=tmp_path / "stores")


def trial(data, **settings):
    defaults = {"epochs": {"search": 0, "retrain": 2}, "batch_size": 50, "backbone": HEAD}
    made = Trial(TrialConfig.model_validate(defaults | settings), data)
    made._use_features()  # as the first step does
    return made


def plain(reports):
    return [{k: v for k, v in r.items() if k != "cost/seconds"} for r in reports]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"architecture": "stl"},
        {"architecture": "mtan"},
        {"architecture": {"name": "hps", "split": 1}},
        {"balancing": "uncertainty", "ema": 0.9},
        {"backbone": "cm", "lr_multipliers": {"trunk": 0}, "task_schedule": "round_robin"},
        {"augment": {"flip": True, "crop": 2, "rand_augment": {}, "views": 2}, "balancing": AL},
    ],
    ids=["hps", "stl", "mtan", "split", "ema", "zero", "views"],
)
def test_reports_equal_those_with_the_trunk(data, settings):
    kept = trial(data, **settings)
    assert isinstance(kept._loader._batches, FeatureBatches)
    whole = trial(data.model_copy(update={"features": "off"}), **settings)
    assert not isinstance(whole._loader._batches, FeatureBatches)
    assert plain(kept) == plain(whole)
    assert kept.evaluate("test") == pytest.approx(whole.evaluate("test"), rel=1e-5)


def test_files_have_the_features_of_the_images(data):
    found = trial(data)
    dataset = open_dataset(data)
    for name in module.SPLITS:
        images = module.make_batches(dataset, dataset.splits[name], 30, torch.device("cpu"))
        rows = FeatureBatches(found._input.splits[name], 30, torch.device("cpu"))
        for (batch, labels), (features, same) in zip(images, rows, strict=True):
            assert isinstance(features, Features) and len(features) == len(batch)
            for value, expected in zip(
                features.values, found.model.eval().trunk_features(batch), strict=True
            ):
                torch.testing.assert_close(value, expected, rtol=0, atol=1e-6)
                assert value.stride() == expected.stride()
            assert all(torch.equal(labels[key], same[key]) for key in labels)


def test_second_trial_computes_nothing(data, monkeypatch):
    trial(data)
    monkeypatch.setattr(module, "packed", None)
    again = trial(data, optimizer={"name": "sgd", "lr": 0.1}, architecture="hps")
    assert has_features(again._input.splits["train"])


@pytest.mark.parametrize(
    "settings",
    [
        {"backbone": "cm"},
        {"backbone": {"name": "cm", "tune": {"last": 1}}},
        {"backbone": {"name": "cm", "tune": {"lora": {"rank": 2}}}},
        {"augment": {"flip": True}},
        {"precision": "bfloat16"},
        {"groups": [["image"], ["digit"]]},
        {"architecture": "mmoe"},
    ],
    ids=["all", "last", "lora", "augment", "precision", "groups", "mmoe"],
)
def test_other_trials_read_images(data, settings):
    found = trial(data, **settings)
    assert found._input is found.dataset
    assert not folder_of(resolve(data).store).exists()


def test_keys_differ_by_weights_data_and_threads(data):
    folder = folder_of(resolve(data).store)
    for number, (changed, settings) in enumerate(
        [
            ({}, {}),
            ({}, {"seed": 1}),
            ({}, {"threads": 2}),
            ({"limit": 90}, {}),
        ],
        start=1,
    ):
        trial(data.model_copy(update=changed), **settings)
        assert len([p for p in folder.iterdir() if not p.name.startswith(".")]) == number


@pytest.mark.parametrize("damage", ["cut", "changed", "manifest", "unfinished"])
def test_damaged_features_are_computed_again(data, damage):
    expected = plain(trial(data))
    (folder,) = (p for p in folder_of(resolve(data).store).iterdir() if p.is_dir())
    file = folder / "train.bin"
    content = file.read_bytes()
    if damage == "cut":
        file.write_bytes(content[:-4])
    elif damage == "changed":
        file.write_bytes(b"\1\2\3\4" + content[4:])
        os.utime(file, ns=(1, 1))
    elif damage == "manifest":
        (folder / MANIFEST).write_text(json.dumps({}))
    else:
        shutil.move(folder, folder.parent / f".{folder.name}.building")
    assert plain(trial(data)) == expected
    assert file.read_bytes() == content
    assert not [p for p in folder.parent.iterdir() if p.name.endswith(".building")]


def test_full_disk_leaves_the_trunk_in_the_steps(data, monkeypatch):
    monkeypatch.setattr("mtsearch.data.features.size_of", lambda counts, parts: 1 << 62)
    found = trial(data)
    assert found._input is found.dataset


def test_trunk_that_mixes_images_of_a_batch_is_refused(data, monkeypatch):
    monkeypatch.setattr(
        "mtsearch.models.hps.HPS.trunk_features",
        lambda self, x: [feature + x.mean() for feature in self.share(x)],
    )
    found = trial(data)
    assert found._input is found.dataset


def test_interrupted_trial_continues(data, tmp_path):
    whole = trial(data, balancing="famo")
    expected = plain(whole)
    half = trial(data, balancing="famo")
    next(half)
    half.save(tmp_path / "state")
    again = Trial.restore(tmp_path / "state")
    list(again)
    assert has_features(again._input.splits["val"])
    assert plain(again.reports) == expected


def test_restored_trunk_determines_the_features(data, tmp_path, monkeypatch):
    """The file of the weights may have changed since the trial was saved."""
    half = trial(data)
    next(half)
    half.save(tmp_path / "state")
    expected = plain([next(half)])
    build = Trial._new_network

    def changed(self):
        network = build(self)
        network.trunk.body[0].weight.data.mul_(2)
        return network

    monkeypatch.setattr(Trial, "_new_network", changed)
    assert plain([next(Trial.restore(tmp_path / "state"))]) == expected


@pytest.mark.parametrize("augment", [{}, {"flip": True, "views": 2}], ids=["plain", "views"])
def test_ranks_share_the_batches(data, augment):
    """The last batch has one image, so that one share of it is empty."""
    batches = trial(data, augment=augment, architecture="mtan")._loader._batches
    assert isinstance(batches, FeatureBatches)

    def passed(share):
        generator = torch.Generator().manual_seed(3)
        return list(batches.shuffled(generator, share=share, size=33))

    assert [len(labels["digit"]) for _, labels in passed((0, 1))] == [33, 33, 33, 1]
    for (whole, labels), *parts in zip(passed((0, 1)), passed((0, 2)), passed((1, 2)), strict=True):
        for k, value in enumerate(whole.values):
            assert torch.equal(torch.cat([part.values[k] for part, _ in parts]), value)
        for name, values in labels.items():
            assert torch.equal(torch.cat([other[name] for _, other in parts]), values)


def test_restored_trial_is_tested_without_features(data, tmp_path):
    whole = trial(data)
    list(whole)
    whole.save(tmp_path / "state")
    shutil.rmtree(folder_of(resolve(data).store))
    again = Trial.restore(tmp_path / "state")
    assert again.evaluate("test") == whole.evaluate("test")
    assert not folder_of(resolve(data).store).exists()
