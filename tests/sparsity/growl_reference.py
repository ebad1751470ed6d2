"""Slow reference implementations of the fast paths, and the faulty originals they replace."""

import numpy as np
import torch


def plain_fit(y):
    """Pool adjacent violators with a stack, one entry at a time."""
    blocks = []
    for value in y:
        blocks.append([float(value), 1])
        while len(blocks) > 1 and blocks[-2][0] * blocks[-1][1] < blocks[-1][0] * blocks[-2][1]:
            total, size = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += size
    return np.array([total / size for total, size in blocks for _ in range(size)])


def plain_prox(norms, weights, tau):
    order = sorted(range(len(norms)), key=lambda i: -norms[i])
    fit = np.maximum(
        plain_fit([norms[i] - tau * w for i, w in zip(order, weights, strict=True)]), 0
    )
    result = np.empty(len(norms))
    result[order] = fit
    return result


def segments_prox(norms, weights, permuted=False):
    """Faulty: only runs of positive entries are pooled, so a head at or below zero stays there.
    `permuted`: by ranks, too, as before March 2025."""
    norms, weights = np.asarray(norms, float), np.asarray(weights, float)
    order = np.argsort(-norms, kind="stable")
    if permuted:
        weights = weights[np.argsort(np.argsort(norms))]
    y = norms[order] - weights
    last = np.flatnonzero(y > 0)
    y = y[: last[-1] + 1] if len(last) else y[:0]
    for _ in range(1000):
        start, changed = 0, False
        while start < len(y) - 1:
            end = start
            while end + 1 < len(y) and y[end] > 0 and y[end + 1] > 0 and y[end + 1] > y[end]:
                end += 1
            if end > start:
                y[start : end + 1] = y[start : end + 1].mean()
                changed = True
            start = end + 1
        if not changed:
            break
    result = np.zeros(len(norms))
    result[order[: len(y)]] = np.maximum(y, 0)
    return result


def view_rows(weight):
    """Faulty: flat memory cut into `in` pieces, so that a piece holds output filters."""
    return weight.reshape(weight.shape[1], -1)


def sum_zero_rows(weight):
    """Faulty: rows whose entries cancel count as zero."""
    return weight.transpose(0, 1).flatten(1).sum(1) == 0


def step_then_average_(weight, index):
    """The papers' projection: zero rows to zero, the members of a cluster to their mean."""
    with torch.no_grad():
        for number in range(-1, int(index.max()) + 1):
            members = index == number
            weight[:, members] = 0 if number < 0 else weight[:, members].mean(1, keepdim=True)
