"""The checks before a run."""

import numpy as np
import pytest
import yaml

from mtsearch.config.errors import BadInput
from mtsearch.config.reading import load_space
from mtsearch.jobs.environment import environment_of


def sequences(folder, backbone):
    """A space on sequences whose card states no shape."""
    rng = np.random.default_rng(0)
    np.save(folder / "x.npy", rng.normal(size=(40, 3, 32)).astype(np.float32))
    np.save(folder / "x_kind.npy", rng.integers(0, 2, 40))
    source = {"kind": "arrays", "train": "x.npy", "test_fraction": 0.2}
    card = {"name": "waves", "root": str(folder), "source": source}
    card["tasks"] = [{"name": "kind", "outputs": 2}]
    (folder / "card.yaml").write_text(yaml.safe_dump(card))
    trial = {"architecture": "hps", "backbone": backbone}
    trial |= {"optimizer": {"name": "adam", "lr": 0.01}, "epochs": {"search": 1, "retrain": 0}}
    tree = {"name": "waves", "data": {"dataset": str(folder / "card.yaml")}}
    tree |= {"objectives": ["val/kind/error"], "search": {"trials": 1}, "trial": trial}
    (folder / "space.yaml").write_text(yaml.safe_dump(tree))
    return load_space(str(folder / "space.yaml"))


def test_shape_of_sequences_is_read_before_checks(tmp_path):
    data, facts = environment_of(sequences(tmp_path, "conv1d"))
    assert facts["tasks"] == {"kind": "classification"} and data.dataset.endswith("card.yaml")


def test_backbone_for_images_is_refused_for_sequences(tmp_path):
    with pytest.raises(BadInput, match="backbone"):
        environment_of(sequences(tmp_path, "cm"))
