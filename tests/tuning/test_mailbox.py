"""The mailbox of a worker group, without processes."""

import asyncio

from mtsearch.tuning.mailbox import Mailbox


def test_a_rank_that_died_while_it_waited_decides_nothing_for_the_next_incarnation():
    async def meet():
        box = Mailbox.__ray_metadata__.modified_class(2, 3)
        await box.post("one")
        first = await box.begin()
        assert await box.next(first, 0, 0) == await box.next(first, 0, 1) == (1, "one")
        assert not await box.put(1, {"done": True})
        waiting = asyncio.create_task(box.next(first, 1, 0))
        await asyncio.sleep(0)
        second = await box.begin()
        assert await waiting == (0, "")
        await box.post("two")
        assert await box.next(second, 0, 0) == await box.next(second, 0, 1) == (2, "two")

    asyncio.run(meet())
