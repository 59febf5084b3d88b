"""Two deliveries of one message never run side by side, and suspects run alone."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from mailpact.amqp.messages import Message
from mailpact.amqp.subscriber import Delivery
from mailpact_consumer.intake import InFlight, Intake


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


def delivered(count: int) -> Delivery:
    channel: Any = None  # nothing is acked here
    return Delivery(Message(b""), "email", "", count > 0, count, 1, channel)


async def most_at_once(delivery_count: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return how many of five deliveries were worked on side by side."""
    monkeypatch.setattr("mailpact_consumer.intake.SHUFFLE_SECONDS", 0.0)
    running = most = 0

    async def handle(_delivery: Delivery, _is_ours: Callable[[], bool]) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    async with asyncio.TaskGroup() as tasks:
        intake = Intake(tasks, handle)
        for _ in range(5):
            intake.receive(delivered(delivery_count))
    return most


@pytest.mark.parametrize(("delivery_count", "at_once"), [(0, 5), (2, 5), (3, 1), (19, 1)])
async def test_what_came_back_three_times_is_worked_on_one_by_one(
    delivery_count: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await most_at_once(delivery_count, monkeypatch) == at_once


async def test_delivery_is_the_brokers_again_when_consuming_begins_anew() -> None:
    owned: list[bool] = []

    async def handle(_delivery: Delivery, is_ours: Callable[[], bool]) -> None:
        owned.append(is_ours())

    async with asyncio.TaskGroup() as tasks:
        intake = Intake(tasks, handle)
        intake.receive(delivered(0))
        intake.begin_session()
        intake.receive(delivered(0))

    assert owned == [False, True]


async def test_what_is_not_finished_in_time_is_cancelled() -> None:
    async def handle(_delivery: Delivery, _is_ours: Callable[[], bool]) -> None:
        await asyncio.Event().wait()

    async with asyncio.TaskGroup() as tasks:
        intake = Intake(tasks, handle)
        intake.receive(delivered(0))
        await intake.finish(within_seconds=0.01)
