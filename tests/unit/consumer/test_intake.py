"""Two deliveries of one message never run side by side."""

import asyncio

from mailpact_consumer.intake import InFlight


async def test_second_of_a_message_waits_and_one_of_another_does_not() -> None:
    in_flight, order = InFlight(), []
    release = asyncio.Event()

    async def work(name: str, message_id: str) -> None:
        async with in_flight.hold(message_id):
            order.append(name)
            if name == "first":
                await release.wait()

    async with asyncio.TaskGroup() as tasks:
        for name, message_id in (("first", "a"), ("second", "a"), ("other", "b")):
            tasks.create_task(work(name, message_id))
        while "other" not in order:
            await asyncio.sleep(0)
        assert order == ["first", "other"]
        release.set()

    assert order == ["first", "other", "second"]


async def test_waiter_that_is_cancelled_leaves_nothing_behind() -> None:
    in_flight = InFlight()

    async def wait_for_a() -> None:
        async with in_flight.hold("a"):
            raise AssertionError("it was held by another")

    async with in_flight.hold("a"):
        waiter = asyncio.create_task(wait_for_a())
        await asyncio.sleep(0)
        waiter.cancel()
        await asyncio.wait({waiter})

    assert waiter.cancelled()
    assert in_flight._locks == in_flight._holders == {}
