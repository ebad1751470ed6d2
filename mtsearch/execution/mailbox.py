"""Where a trial actor and its worker group meet."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import ray

from mtsearch.runs.messages import StepResult


@ray.remote(num_cpus=0)
class Mailbox:
    """Holds the current job of a group and the results of its steps.

    Jobs are numbered from 1. Every start of the group is an incarnation; within one, rank 0 decides
    which job is next and the other ranks read what it decided, so that all have the same jobs in
    the same order whatever is posted meanwhile. A job that its incarnation did not finish is
    decided again by the next one.

    Args:
        ranks: workers of the group.
        deaths: how often a job may lose its group before it fails.
    """

    def __init__(self, ranks: int, deaths: int) -> None:
        self._ranks, self._deaths = ranks, deaths
        self._number, self._job = 0, ""
        self._closed = False
        self._done = 0  # the last job with a final result
        self._starts = 0  # of the current job
        self._incarnation = 0
        self._decided: list[tuple[int, str]] = []
        self._failed: dict[int, str] = {}  # reasons by rank, of the current job in this incarnation
        self._reason = ""  # the last one, of the current job
        self._results: list[StepResult] = []
        self._asked = False  # whether the actor waits for the next result
        self._changed = asyncio.Condition()

    # ------------------------------------------------------------ the actor's side

    async def post(self, job: str | None) -> int:
        """Make a job current, whatever became of the one before; None closes the group. Returns its
        number."""
        async with self._changed:
            self._number += 1
            self._job, self._closed = job or "", job is None
            self._starts, self._results, self._failed, self._reason, self._asked = (
                0,
                [],
                {},
                "",
                False,
            )
            self._changed.notify_all()
            return self._number

    async def result(self, seconds: float) -> StepResult | None:
        """The next result of the current job; None if there is none in this time."""
        try:
            async with asyncio.timeout(seconds), self._changed:
                self._asked = True
                self._changed.notify_all()
                await self._changed.wait_for(lambda: bool(self._results))
                self._asked = False
                return self._results.pop(0)
        except TimeoutError:
            return None

    async def incarnation(self) -> int:
        """How often the group has started."""
        return self._incarnation

    # ------------------------------------------------------------ the group's side

    async def begin(self) -> int:
        """A new incarnation, from its rank 0. Returns its number."""
        async with self._changed:
            self._incarnation += 1
            self._decided, self._failed = [], {}
            self._changed.notify_all()
            return self._incarnation

    async def next(self, incarnation: int, place: int, rank: int) -> tuple[int, str]:
        """The number and text of the incarnation's job number `place` (from 0), for rank 0 the one
        it decides on; no text: go home."""
        async with self._changed:
            if rank == 0:
                await self._changed.wait_for(
                    lambda: self._gone(incarnation) or self._number > self._done
                )
                while (
                    not self._gone(incarnation) and not self._closed and self._starts > self._deaths
                ):
                    cause = f": {self._reason}" if self._reason else ""
                    self._end(f"its workers died {self._starts} times{cause}")
                    await self._changed.wait_for(
                        lambda: self._gone(incarnation) or self._number > self._done
                    )
                if not self._gone(
                    incarnation
                    # the call of a rank that died while it waited decides nothing for the next
                    # incarnation
                ):
                    self._starts += 1
                    self._decided.append((self._number, "" if self._closed else self._job))
                    self._changed.notify_all()
            await self._changed.wait_for(
                lambda: self._gone(incarnation) or len(self._decided) > place
            )
            return (0, "") if self._gone(incarnation) else self._decided[place]

    async def put(self, incarnation: int, number: int, result: StepResult) -> bool:
        """A result of a step, from rank 0. Returns whether the job is to go on, once the actor asks
        for the next result: until then the search may still stop the trial, and take away its
        state. Never in an incarnation that is gone, whose last calls may come late.
        """
        async with self._changed:
            if self._gone(incarnation) or number != self._number or number <= self._done:
                return False
            self._results.append(replace(result, starts=self._starts))
            if result.done:
                self._done = number
            self._changed.notify_all()
            if result.done:
                return False
            await self._changed.wait_for(
                lambda: (
                    self._gone(incarnation)
                    or number != self._number
                    or (self._asked and not self._results)
                )
            )
            return not self._gone(incarnation) and number == self._number

    async def fail(
        self, incarnation: int, number: int, rank: int, reason: str, seconds: float
    ) -> bool:
        """A rank's trial raised. Returns whether every rank's did within this time: then the job
        has failed and all go on to the next one.

        Otherwise the others wait for this rank in a collective, or it only saw one of them die: the
        group has to start again, and the job with it.
        """
        async with self._changed:
            if self._gone(incarnation):
                return False
            if number == self._number:
                self._failed[rank] = reason
                self._reason = reason
                if len(self._failed) == self._ranks and number > self._done:
                    self._end(self._failed[min(self._failed)])
                self._changed.notify_all()
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(
                    lambda: (
                        self._gone(incarnation)
                        or (len(self._failed) == self._ranks and number == self._number)
                    )
                )
                return not self._gone(incarnation)
        except TimeoutError:
            return False

    def _end(self, reason: str) -> None:
        self._results.append(StepResult(done=True, failed=reason, starts=self._starts))
        self._done = self._number
        self._changed.notify_all()

    def _gone(self, incarnation: int) -> bool:
        return incarnation != self._incarnation
