"""From the weights at the end of the search phase to the structure of the retrain phase."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from mtsearch.config.schema import Sharing
from mtsearch.sparsity.clustering import Labels, affinity_clusters, complete_clusters
from mtsearch.sparsity.rows import prunable_layers, row_matrix
from mtsearch.sparsity.structure import Structure


def find_sharing(
    model: nn.Module, prunable: Sequence[str], sharing: Sharing | None, seed: int = 0
) -> Structure:
    """Which rows of the prunable layers are zero, and which are similar enough to be tied.

    Zero rows are not clustered. Without `sharing` every other row stays separate.

    Args:
        model: the trained network.
        prunable: names of its Linear and ungrouped Conv2d modules.
        sharing: the clustering method and its preference.
        seed: for affinity propagation, which breaks ties at random.

    Raises:
        BadInput: more than 2,000 non-zero rows for affinity propagation.
    """
    rows, unconverged = {}, []
    for name, layer in prunable_layers(model, prunable).items():
        matrix = row_matrix(layer.weight).float().cpu().numpy()
        alive = np.flatnonzero((matrix != 0).any(1))
        labels: Labels | None = np.arange(len(alive))
        if sharing is not None and sharing.method == "complete":
            labels = complete_clusters(matrix[alive], sharing.preference)
        elif sharing is not None:
            labels = affinity_clusters(matrix[alive], sharing.preference, seed)
        if labels is None:
            warnings.warn(
                f"Affinity propagation did not converge on layer `{name}`: its rows are not tied.",
                stacklevel=2,
            )
            unconverged.append(name)
            labels = np.arange(len(alive))
        index = np.full(len(matrix), -1, dtype=np.int64)
        index[alive] = _in_order(labels)
        rows[name] = torch.from_numpy(index)
    return Structure(rows, tuple(unconverged))


def _in_order(labels: Labels) -> Labels:
    """The same clusters, numbered by their first members."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    number = np.empty(len(first), dtype=np.int64)
    number[np.argsort(first)] = np.arange(len(first))
    return number[inverse]
