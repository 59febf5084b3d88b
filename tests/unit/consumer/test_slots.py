"""Which deliveries are worked on at the same time, and which wait."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from mailpact.amqp.messages import Message
from mailpact.amqp.subscriber import Delivery
from mailpact_consumer import slots as slots_module
from mailpact_consumer.in_flight import InFlight
from mailpact_consumer.intake import Intake
from mailpact_consumer.slots import LETTER_SLOTS, Slot, Slots


async def test_second_delivery_of_a_message_waits_for_the_first_and_others_do_not() -> None:
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
    acks: Any = None  # no message is acked here
    return Delivery(Message(b"", headers={"x-delivery-count": count}), "email", "", count > 0, 1, acks)


async def most_at_once(
    delivery_count: int, monkeypatch: pytest.MonkeyPatch, *, gives_back: bool = False
) -> int:
    """Return how many of five deliveries were worked on side by side, with three slots."""
    monkeypatch.setattr(slots_module, "SHUFFLE_SECONDS", 0.0)
    running = most = 0

    async def handle(_delivery: Delivery, _is_ours: Callable[[], bool], slot: Slot) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if gives_back:
            slot.give_back()
        for _ in range(20):
            await asyncio.sleep(0)
        running -= 1

    async with asyncio.TaskGroup() as tasks:
        intake = Intake(tasks, Slots(3), handle)
        for _ in range(5):
            intake.receive(delivered(delivery_count))
    return most


@pytest.mark.parametrize(("delivery_count", "at_once"), [(0, 3), (2, 3), (3, 1), (19, 1)])
async def test_what_came_back_three_times_is_worked_on_one_by_one(
    delivery_count: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await most_at_once(delivery_count, monkeypatch) == at_once


@pytest.mark.parametrize("delivery_count", [0, 3])
async def test_slot_and_isolation_that_are_given_back_let_the_others_go_on(
    delivery_count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await most_at_once(delivery_count, monkeypatch, gives_back=True) == 5


async def test_slot_is_given_back_after_a_second_of_waiting_and_only_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(slots_module, "SLOW_SECONDS", 0.01)
    slots = Slots(1)
    first = await slots.take(is_suspect=False)
    with first.given_back_when_slow():
        pass
    assert slots._free.locked()
    with first.given_back_when_slow():
        assert await slots.take(is_suspect=False)


def test_waiting_messages_take_at_most_a_quarter_of_the_slots() -> None:
    slots = Slots(8)

    with slots.waiting() as first, slots.waiting() as second, slots.waiting() as third:
        assert (first, second, third) == (True, True, False)
    with slots.waiting() as again:
        assert again


def test_letters_that_wait_have_slots_of_their_own() -> None:
    slots = Slots(1)

    taken = [slots.take_letter_slot() for _ in range(LETTER_SLOTS + 1)]
    slots.give_letter_slot_back()

    assert taken == [True] * LETTER_SLOTS + [False]
    assert slots.take_letter_slot()


async def test_delivery_is_the_brokers_again_when_consuming_begins_anew() -> None:
    owned: list[bool] = []

    async def handle(_delivery: Delivery, is_ours: Callable[[], bool], _slot: Slot) -> None:
        owned.append(is_ours())

    async with asyncio.TaskGroup() as tasks:
        intake = Intake(tasks, Slots(2), handle)
        intake.receive(delivered(0))
        intake.begin_session()
        intake.receive(delivered(0))

    assert owned == [False, True]


async def test_what_is_not_finished_in_time_is_told_and_can_be_cancelled() -> None:
    async def handle(_delivery: Delivery, _is_ours: Callable[[], bool], _slot: Slot) -> None:
        await asyncio.Event().wait()

    async with asyncio.TaskGroup() as tasks:
        intake = Intake(tasks, Slots(1), handle)
        finished_nothing = await intake.finish(within_seconds=0.01)
        intake.receive(delivered(0))
        is_finished = await intake.finish(within_seconds=0.01)
        intake.cancel()

    assert (finished_nothing, is_finished) == (True, False)
