"""Splits of sets with overlapping images: overlapping images stay in one split.

Groups of overlapping images are listed in files beside the cards. The groups of a file are assigned
by the file and the seed alone, whatever images are found. Two sets that share a list therefore
assign every group to the same split and can be used together.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mtsearch.config.base import Model
from mtsearch.config.errors import BadInput, nearest
from mtsearch.data.cards import datasets_folder
from mtsearch.data.splits import Index, order

Groups = list[list[str]]  # of images, as "<set>/<class>/<name>"


class Overlap(Model):
    """Which groups apply: a ``list`` of a ``file`` beside the cards, in which this set has the name
    ``set``."""

    file: str = "gid_overlap_groups.json"
    list: str
    set: str

    def groups(self) -> Groups:
        """Read the groups of the list. Raises `BadInput` when there is no such file or list."""
        path = datasets_folder() / self.file
        if not path.is_file():
            raise BadInput(
                f"`overlap.file` names no file beside the data cards: there is no {path}."
            )
        try:
            lists = json.loads(path.read_text(encoding="utf-8"))["lists"]
            if self.list in lists:
                return [
                    [f"{place}/{name}" for place, names in group.items() for name in names.split()]
                    for group in lists[self.list]
                ]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise BadInput(
                f"`overlap.file` should name a JSON file of lists of groups of images. {path}"
                f" cannot be read as one ({type(error).__name__}: {error}). Correct the file."
            ) from None
        raise BadInput(
            f"`overlap.list` is unknown to {path.name}: `{self.list}`. {nearest(self.list, lists)}"
        )


def split_groups(
    names: Sequence[str],
    labels: NDArray[np.int64],
    groups: Groups,
    fraction: float,
    seed: int,
    taken: frozenset[int] = frozenset(),
) -> tuple[Index, Index, frozenset[int]]:
    """Split N images into the rest and a part with about ``fraction`` of every class, without
    splitting a group.

    Groups are added to the part in a random order while they reduce the distance to its target size
    in each class; single images fill the remainder.

    Args:
        names: the images' names as in ``groups``.
        labels: their classes, (N,).
        groups: groups of images that overlap.
        fraction: target share of each class in the part, in (0, 1).
        seed: of the order of both results and of the selection.
        taken: numbers of groups that an earlier split has assigned; they stay in the rest.

    Returns:
        Indices of the rest, indices of the part, and the numbers of the groups in the part.
    """
    part = assign_groups(groups, fraction, seed, taken)
    group_of = {name: number for number, group in enumerate(groups) for name in group}
    numbers = np.array([group_of.get(name, -1) for name in names], np.int64)
    inside = np.isin(numbers, sorted(part))
    for label in np.unique(labels):
        members = labels == label
        singles = np.flatnonzero(members & (numbers < 0))
        wanted = max(0, round(fraction * int(members.sum())) - int((inside & members).sum()))
        inside[singles[order(len(singles), seed, int(label))[:wanted]]] = True
    shuffled = order(len(names), seed)
    return shuffled[~inside[shuffled]], shuffled[inside[shuffled]], part


def assign_groups(
    groups: Groups, fraction: float, seed: int, taken: frozenset[int] = frozenset()
) -> frozenset[int]:
    """Select the groups of the part: those that bring it closer to ``fraction`` of each class of
    each set, in squared distance."""
    left = [number for number in range(len(groups)) if number not in taken]
    counts = [Counter(name.rpartition("/")[0] for name in group) for group in groups]
    totals = sum((counts[number] for number in left), Counter())
    have: Counter[str] = Counter()
    chosen = []
    for place in order(len(left), seed):
        group = counts[left[place]]
        farther = sum(
            count * (2 * (have[where] - fraction * totals[where]) + count) / totals[where]
            for where, count in sorted(group.items())
        )
        if farther < 0:
            have += group
            chosen.append(left[place])
    return frozenset(chosen)
