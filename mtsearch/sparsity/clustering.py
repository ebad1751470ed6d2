"""Clusters of similar rows."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from mtsearch.config.errors import BadInput
from mtsearch.sparsity.similarity import Matrix, similarity

Labels = NDArray[np.int64]
AFFINITY_LIMIT = 2000


def complete_clusters(rows: Matrix, preference: float) -> Labels:
    """Complete linkage: clusters in which every pair has S > `preference`.

    Returns labels (n,) of the non-zero rows (n, length).

    Clusters lie within the connected components of the graph S > preference; linking each one
    separately avoids all n^2 distances.
    """
    # slow to import, used only between phases
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial.distance import squareform

    like = similarity(rows)
    _, component = connected_components(csr_array(np.triu(like > preference, 1)), directed=False)
    labels = component.astype(np.int64)
    sizes = np.bincount(component)
    for number in np.flatnonzero(sizes > 2):  # two connected rows are a cluster
        members = np.flatnonzero(component == number)
        pairs = squareform(like[np.ix_(members, members)], checks=False)
        tree = linkage(1.0 - pairs.astype(np.float64), "complete")
        # fcluster merges at distances up to the bound, we need S strictly above the preference
        labels[members] = labels.max() + fcluster(
            tree, np.nextafter(1.0 - np.float64(np.float32(preference)), 0.0), "distance"
        )
    return np.asarray(labels, dtype=np.int64)


def affinity_clusters(rows: Matrix, preference: float, seed: int) -> Labels | None:
    """Affinity propagation (Frey & Dueck 2007) on S with damping 0.9, seeded. Labels (n,), or None
    where it did not converge.

    Raises:
        BadInput: more than 2,000 rows; the cost of an iteration grows with n^2.
    """
    from sklearn.cluster import AffinityPropagation  # slow to import, rarely used
    from sklearn.exceptions import ConvergenceWarning

    if len(rows) > AFFINITY_LIMIT:
        raise BadInput(
            f"`trial.sparsity.share.method=affinity` takes at most {AFFINITY_LIMIT} non-zero rows"
            f" per layer. Found {len(rows)}; use `complete`."
        )
    if len(rows) < 2:
        return np.zeros(len(rows), dtype=np.int64)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = AffinityPropagation(
            affinity="precomputed",
            preference=preference,
            damping=0.9,
            max_iter=1000,
            random_state=seed,
        )
        labels = found.fit(similarity(rows)).labels_
    if any(issubclass(one.category, ConvergenceWarning) for one in caught) or (labels < 0).any():
        return None
    return np.asarray(labels, dtype=np.int64)
