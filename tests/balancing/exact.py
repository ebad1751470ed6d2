"""Exact solutions by enumeration of all active sets: the slow counterparts of the solvers."""

from __future__ import annotations

import itertools

import numpy as np
import torch

from mtsearch.balancing import min_norm_weights


def gradients(k, n, spread=0.0, seed=0, conflict=False):
    """A Jacobian (k, n) in float64 whose rows have lengths within ``10^(-spread)`` to
    ``10^spread``, the first the shortest and the last the longest."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.logspace(-spread, spread, k, dtype=torch.float64)
    rows = torch.randn(k, n, generator=generator, dtype=torch.float64)
    if conflict:
        rows[-1] -= 1.5 * rows[0]
    return lengths[:, None] * torch.nn.functional.normalize(rows, dim=1)


def subsets(k):
    return (list(s) for size in range(k + 1) for s in itertools.combinations(range(k), size))


def projection(jacobian, weights):
    """Return the nearest vector to ``weights @ jacobian`` in the dual cone of the rows, by
    enumeration of its faces."""
    rows = jacobian.numpy()
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    start = weights.numpy() @ rows
    best, least = start, np.inf
    for active in subsets(len(rows)):
        found = start
        if active:
            added = np.linalg.lstsq(units[active].T, -start, rcond=1e-12)[0]
            if (added < -1e-11 * np.abs(added).max()).any():
                continue
            found = start + added @ units[active]
        distance = np.linalg.norm(found - start)
        if (units @ found >= -1e-11 * np.linalg.norm(start)).all() and distance < least:
            best, least = found, distance
    return torch.from_numpy(best)


def shortest(jacobian):
    """Return the shortest vector in the convex hull of the rows, by enumeration of its faces."""
    rows = jacobian.numpy()
    best, least = rows[0], np.inf
    for face in subsets(len(rows)):
        if not face:
            continue
        first, *others = rows[face]
        differences = np.array([row - first for row in others]).reshape(-1, rows.shape[1])
        shares = np.linalg.lstsq(differences.T, -first, rcond=1e-14)[0]
        if (shares < -1e-9).any() or shares.sum() > 1 + 1e-9:
            continue
        found = first + shares @ differences
        if np.linalg.norm(found) < least:
            best, least = found, np.linalg.norm(found)
    return torch.from_numpy(best)


def permuted(weights_of, gramian, order):
    """Return the weights for the Gramian with permuted tasks, in the original order."""
    back = torch.empty_like(gramian[0])
    back[order] = weights_of(gramian[order][:, order])
    return back


__all__ = ["gradients", "min_norm_weights", "permuted", "projection", "shortest", "subsets"]
