"""Assignment of members to ranks, and exchange of their states."""

from __future__ import annotations

from mtsearch.config.population import MTOConfig
from mtsearch.population.state import MemberState
from mtsearch.training.world import World

Member = tuple[int, int]
"""A task and the number of one of its members: 0 is its own member, the others are visitors."""


class Members:
    """The T x G members of a population, distributed over ranks: member (i, m) trains on rank
    (i G + m) mod size, which keeps its results.

    The state of a task is kept on the rank of its own member.
    """

    def __init__(self, settings: MTOConfig, world: World) -> None:
        self._size = settings.group_size
        self._world = world
        self.all: list[Member] = [
            (task, number)
            for task in range(settings.tasks)
            for number in range(settings.group_size)
        ]

    def rank(self, member: Member) -> int:
        """Return the rank that trains a member."""
        return (member[0] * self._size + member[1]) % self._world.size

    def is_local(self, member: Member) -> bool:
        """Return whether this process trains a member."""
        return self.rank(member) == self._world.rank

    def send(self, state: MemberState | None, source: Member, target: Member) -> MemberState | None:
        """Send a state from the rank of `source` to the rank of `target` and return it there; other
        ranks get None. All ranks call this."""
        start, end = self.rank(source), self.rank(target)
        if start == end:
            return state if self._world.rank == end else None
        tree = self._world.send(None if state is None else state.tree(), start, end)
        return None if tree is None else MemberState.of(tree)

    def gather(self, found: dict[Member, list[float]], width: int) -> dict[Member, list[float]]:
        """Return the values of all members, `width` per member, on every rank."""
        mine = [value for member in self.all for value in found.get(member, [float("nan")] * width)]
        ranks = self._world.all_gather(mine)
        return {
            member: ranks[self.rank(member)][i * width : (i + 1) * width]
            for i, member in enumerate(self.all)
        }
