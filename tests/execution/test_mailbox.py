"""The mailbox of a worker group, without processes."""

import asyncio

from mtsearch.execution.mailbox import Mailbox
from mtsearch.runs.messages import StepResult


def test_dead_waiting_ranks_decide_nothing_later():
    async def meet():
        box = Mailbox.__ray_metadata__.modified_class(2, 3)
        await box.post("one")
        first = await box.begin()
        assert await box.next(first, 0, 0) == await box.next(first, 0, 1) == (1, "one")
        assert not await box.put(first, 1, StepResult(done=True))
        waiting = asyncio.create_task(box.next(first, 1, 0))
        await asyncio.sleep(0)
        second = await box.begin()
        assert await waiting == (0, "")
        await box.post("two")
        assert await box.next(second, 0, 0) == await box.next(second, 0, 1) == (2, "two")

    asyncio.run(meet())


def test_late_calls_of_dead_incarnations_are_ignored():
    async def meet():
        box = Mailbox.__ray_metadata__.modified_class(2, 3)
        await box.post("one")
        first = await box.begin()
        assert await box.next(first, 0, 0) == await box.next(first, 0, 1) == (1, "one")
        failing = asyncio.create_task(box.fail(first, 1, 1, "its neighbour died", 60))
        await asyncio.sleep(0)
        second = await box.begin()
        assert await failing is False, "it does not wait for ranks that are gone"
        assert await box.next(second, 0, 0) == await box.next(second, 0, 1) == (1, "one")
        assert not await box.fail(first, 1, 0, "late", 60)
        assert not await box.put(first, 1, StepResult(done=True))
        assert await box.result(0) is None
        put = asyncio.create_task(box.put(second, 1, StepResult(reports=({"report": 1},))))
        assert (await box.result(60)).reports == ({"report": 1},)
        asked = asyncio.create_task(box.result(60))
        assert await put, "the job goes on in the second"
        asked.cancel()
        assert not await box.fail(second, 1, 0, "alone", 0.01), (
            "the late call is not taken for the other rank's"
        )

    asyncio.run(meet())


def test_groups_train_only_on_request():
    async def meet():
        box = Mailbox.__ray_metadata__.modified_class(1, 3)
        await box.post("one")
        first = await box.begin()
        assert await box.next(first, 0, 0) == (1, "one")
        put = asyncio.create_task(box.put(first, 1, StepResult(reports=({"report": 1},))))
        assert (await box.result(60)).reports == ({"report": 1},)
        await asyncio.sleep(0)
        assert not put.done(), "whether the trial goes on is not decided yet"
        await box.post("two")
        assert await put is False, "the search gave the group another job"
        assert await box.next(first, 1, 0) == (2, "two")

    asyncio.run(meet())
