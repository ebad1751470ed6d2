"""Which rows are tied."""

import json
import time
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import Sharing
from mtsearch.sparsity import Structure, find_sharing
from mtsearch.sparsity.clustering import affinity_clusters, complete_clusters
from mtsearch.sparsity.similarity import similarity


def layer(rows):
    """A model whose only layer has these rows (n, length)."""
    linear = nn.Linear(*rows.shape)
    with torch.no_grad():
        linear.weight.copy_(torch.as_tensor(rows).T)
    return nn.Sequential(linear)


def planted(groups=30, rows=320, zero=0.3, seed=0):
    """`rows` rows near `groups` directions, a share of them zero, in random order; and the group of
    each, -1 for zero."""
    rng = np.random.default_rng(seed)
    truth = np.arange(rows) % groups
    values = rng.normal(size=(groups, 50))[truth] + 0.01 * rng.normal(size=(rows, 50))
    dead = rng.permutation(rows)[: int(zero * rows)]
    values[dead], truth[dead] = 0.0, -1
    order = rng.permutation(rows)
    return values[order].astype(np.float32), truth[order]


def same_partition(a, b):
    return np.array_equal(np.equal.outer(a, a), np.equal.outer(b, b))


@given(st.integers(1, 700), st.integers(0, 2**32 - 1))
def test_similarity_equals_its_definition(n, seed):
    rows = np.random.default_rng(seed).normal(size=(n, 3)).astype(np.float32)
    found = similarity(rows)
    assert (
        np.abs(found).max() <= 1
        and np.allclose(found, found.T, atol=1e-6)
        and np.allclose(np.diag(found), 1)
    )
    i, j = np.random.default_rng(seed).integers(n, size=2)
    assert found[i, j] == pytest.approx(
        rows[i] @ rows[j] / max(rows[i] @ rows[i], rows[j] @ rows[j]), abs=1e-5
    )


def test_similarity_depends_on_scale_and_sign():
    a = np.array([0.3, -1.2, 0.5], dtype=np.float32)
    assert similarity(np.stack([a, 2 * a, -a]))[0].tolist() == pytest.approx([1.0, 0.5, -1.0])


def test_similarity_of_tiny_rows_is_a_number():
    a = np.array([3, -12, 5], dtype=np.float32)
    for scale in (1e-24, 1e18):
        assert similarity(scale * np.stack([a, 2 * a, -a]))[0].tolist() == pytest.approx(
            [1.0, 0.5, -1.0]
        )
    assert np.isfinite(similarity(np.stack([a, 1e-30 * a, -1e-30 * a]))).all()


@pytest.mark.parametrize("method", ["complete", "affinity"])
def test_planted_groups_are_found_whatever_the_seed(method):
    rows, truth = planted()
    for seed in (0, 1, 2):
        structure = find_sharing(
            layer(rows), ["0"], Sharing(preference=0.7, method=method), seed=seed
        )
        index = structure.rows["0"].numpy()
        assert structure.unique("0") == 30 and structure.unconverged == ()
        assert np.array_equal(index == -1, truth == -1)
        assert same_partition(index, truth)


def test_unique_rows_are_numbered_by_their_first_members():
    rows = np.array([[0, 0], [1, 0], [0, 1], [1, 0.01], [0, 0], [0, 1.01]], dtype=np.float32)
    structure = find_sharing(layer(rows), ["0"], Sharing(preference=0.9))
    assert structure.rows["0"].tolist() == [-1, 0, 1, 0, -1, 1]


def test_without_sharing_no_rows_are_tied():
    rows = np.array([[1, 0], [0, 0], [1, 0]], dtype=np.float32)
    assert find_sharing(layer(rows), ["0"], None).rows["0"].tolist() == [0, -1, 1]


def test_zero_layer_has_no_unique_row():
    assert find_sharing(layer(np.zeros((4, 3), np.float32)), ["0"], Sharing()).unique("0") == 0


@given(st.integers(2, 40), st.floats(0.0, 0.99), st.integers(0, 2**32 - 1))
def test_complete_linkage_clusters_are_maximal_above_preference(n, preference, seed):
    rows = np.random.default_rng(seed).normal(size=(n, 2)).astype(np.float32)
    like = similarity(rows)
    labels = complete_clusters(rows, preference)
    for one in np.unique(labels):
        inside = np.flatnonzero(labels == one)
        assert len(inside) == 1 or like[np.ix_(inside, inside)].min() > np.float32(preference)
        for other in np.unique(labels[labels > one]):
            assert like[np.ix_(inside, labels == other)].min() <= np.float32(preference)


def test_similarity_equal_to_preference_does_not_tie():
    rows = np.array([[1, 0], [2, 0], [0, 1]], dtype=np.float32)
    assert len(set(complete_clusters(rows, 0.5))) == 3
    assert len(set(complete_clusters(rows, 0.49))) == 2
    assert len(set(complete_clusters(np.ones((3, 2), np.float32), 1.0))) == 3


def test_chain_of_similar_rows_is_no_cluster():
    angles = np.deg2rad([0, 30, 60])
    rows = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    assert len(set(complete_clusters(rows, 0.8))) == 2


def test_affinity_propagation_refuses_too_many_rows():
    with pytest.raises(BadInput, match="Found 2001; use `complete`"):
        affinity_clusters(np.ones((2001, 2), np.float32), 0.8, 0)


def test_affinity_propagation_accepts_rows_up_to_its_limit(monkeypatch):
    monkeypatch.setattr("mtsearch.sparsity.clustering.AFFINITY_LIMIT", 6)
    rows = np.repeat(np.eye(2, dtype=np.float32), 3, axis=0)
    labels = affinity_clusters(rows, 0.8, 0)
    assert labels is not None and len(labels) == 6


def test_unconverged_clustering_is_reported_and_ties_nothing(monkeypatch):
    monkeypatch.setattr(
        "mtsearch.sparsity.sharing.affinity_clusters", lambda rows, preference, seed: None
    )
    with pytest.warns(UserWarning, match="layer `0`"):
        structure = find_sharing(
            layer(np.ones((3, 2), np.float32)), ["0"], Sharing(method="affinity")
        )
    assert structure.unconverged == ("0",) and structure.rows["0"].tolist() == [0, 1, 2]


def test_affinity_propagation_accepts_equal_rows_silently():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for n in (0, 1):
            assert affinity_clusters(np.ones((n, 2), np.float32), 0.8, 0).tolist() == [0] * n


def test_seven_thousand_rows_are_clustered_in_seconds():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2400, 32)).astype(np.float32)
    rows = np.concatenate([rows, rows * 1.01, rows * 0.99])
    start = time.process_time()
    labels = complete_clusters(rows, 0.9)
    assert len(np.unique(labels)) == 2400 and time.process_time() - start < 10


def test_a_structure_survives_json():
    structure = Structure({"trunk.fc": torch.tensor([0, -1, 0, 1])}, ("trunk.fc",))
    again = Structure.from_dict(json.loads(json.dumps(structure.to_dict())))
    assert (
        torch.equal(again.rows["trunk.fc"], structure.rows["trunk.fc"])
        and again.unconverged == structure.unconverged
    )
