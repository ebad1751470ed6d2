"""The actor through which a trial actor and its worker group exchange jobs and results."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import ray

from mtsearch.runs.messages import StepResult


@ray.remote(num_cpus=0)
class Mailbox:
    """Holds the current job of a group and the results of its steps.

    Jobs are numbered from 1. Every start of the group is an incarnation. Within one, rank 0 decides
    which job is next and the other ranks read its decision, so that all run the same jobs in the
    same order whatever is posted in the meantime. A job that an incarnation did not finish is
    decided again in the next one.

    Args:
        ranks: workers of the group.
        deaths: how many times a job is started again after its group died, before it fails.
    """

    def __init__(self, ranks: int, deaths: int) -> None:
        self._ranks, self._deaths = ranks, deaths
        self._number, self._job = 0, ""
        self._closed = False
        self._done = 0  # the last job with a final result
        self._starts = 0  # of the current job
        self._incarnation = 0
        self._decided: list[tuple[int, str]] = []
        # reasons and logs by rank, of the current job in this incarnation
        self._failed: dict[int, tuple[str, str | None]] = {}
        self._reason = ""  # the last one, of the current job
        self._results: list[StepResult] = []
        self._awaited = False  # whether the actor waits for the next result
        self._changed = asyncio.Condition()

    # ------------------------------------------------------------ the actor's side

    async def post(self, job: str | None) -> int:
        """Make a job the current one, whether or not the one before has ended; None closes the
        group. Returns its number."""
        async with self._changed:
            self._number += 1
            self._job, self._closed = job or "", job is None
            self._starts, self._results, self._awaited = 0, [], False
            self._failed, self._reason = {}, ""
            self._changed.notify_all()
            return self._number

    async def result(self, seconds: float) -> StepResult | None:
        """The next result of the current job; None where there is none within `seconds`."""
        try:
            async with asyncio.timeout(seconds), self._changed:
                self._awaited = True
                self._changed.notify_all()
                await self._changed.wait_for(lambda: bool(self._results))
                self._awaited = False
                return self._results.pop(0)
        except TimeoutError:
            return None

    async def incarnation(self) -> int:
        """How many times the group has started."""
        return self._incarnation

    # ------------------------------------------------------------ the group's side

    async def begin(self) -> int:
        """A new incarnation, from its rank 0. Returns its number."""
        async with self._changed:
            self._incarnation += 1
            self._decided, self._failed = [], {}
            self._changed.notify_all()
            return self._incarnation

    async def next(self, incarnation: int, index: int, rank: int) -> tuple[int, str]:
        """The number and text of the incarnation's job at `index` (from 0); rank 0 decides it. An
        empty text means that the worker shuts down."""
        async with self._changed:
            if rank == 0:
                await self._changed.wait_for(
                    lambda: self._stale(incarnation) or self._number > self._done
                )
                while (
                    not self._stale(incarnation)
                    and not self._closed
                    and self._starts > self._deaths
                ):
                    cause = f": {self._reason}" if self._reason else ""
                    self._end(f"its workers died {self._starts} times{cause}")
                    await self._changed.wait_for(
                        lambda: self._stale(incarnation) or self._number > self._done
                    )
                # The call of a rank that died while it waited decides nothing for the next
                # incarnation.
                if not self._stale(incarnation):
                    self._starts += 1
                    self._decided.append((self._number, "" if self._closed else self._job))
                    self._changed.notify_all()
            await self._changed.wait_for(
                lambda: self._stale(incarnation) or len(self._decided) > index
            )
            return (0, "") if self._stale(incarnation) else self._decided[index]

    async def put(self, incarnation: int, number: int, result: StepResult) -> bool:
        """Add the result of a step, from rank 0. Returns whether the job continues.

        It returns when the actor waits for the next result: until then the search may stop the
        trial and delete its state. A call from an earlier incarnation adds nothing and returns
        False.
        """
        async with self._changed:
            if self._stale(incarnation) or number != self._number or number <= self._done:
                return False
            self._results.append(replace(result, starts=self._starts))
            if result.done:
                self._done = number
            self._changed.notify_all()
            if result.done:
                return False
            await self._changed.wait_for(
                lambda: (
                    self._stale(incarnation)
                    or number != self._number
                    or (self._awaited and not self._results)
                )
            )
            return not self._stale(incarnation) and number == self._number

    async def fail(
        self,
        incarnation: int,
        number: int,
        rank: int,
        reason: str,
        seconds: float,
        log: str | None = None,
    ) -> bool:
        """Record that a rank's trial raised, with its log. Returns whether every rank's trial
        raised within `seconds`: then the job has failed and all ranks continue with the next one.

        Otherwise the other ranks wait for this one in a collective, or one of them died: the group
        and the job have to be started again.
        """
        async with self._changed:
            if self._stale(incarnation):
                return False
            if number == self._number:
                self._failed[rank] = reason, log
                self._reason = reason
                if len(self._failed) == self._ranks and number > self._done:
                    self._end(*self._failed[min(self._failed)])
                self._changed.notify_all()
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(
                    lambda: (
                        self._stale(incarnation)
                        or (len(self._failed) == self._ranks and number == self._number)
                    )
                )
                return not self._stale(incarnation)
        except TimeoutError:
            return False

    def _end(self, reason: str, log: str | None = None) -> None:
        self._results.append(StepResult(done=True, failed=reason, starts=self._starts, log=log))
        self._done = self._number
        self._changed.notify_all()

    def _stale(self, incarnation: int) -> bool:
        return incarnation != self._incarnation
