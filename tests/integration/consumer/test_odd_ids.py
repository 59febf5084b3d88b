"""Message ids of any form: a duplicate is not mailed again, and a dead letter keeps the publisher's id unchanged."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from tests.conftest import EMBEDDED

pytestmark = pytest.mark.parametrize("real_servers", [EMBEDDED], ids=["embedded"], indirect=True)

UUID = "5d0f7a3e-2f4b-4c7e-9a51-0d6b6f0f3a11"
IDS = [
    "order-43",
    "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "5d0f7a3e2f4b4c7e9a510d6b6f0f3a11",
    "{5d0f7a3e-2f4b-4c7e-9a51-0d6b6f0f3a11}",
    "urn:uuid:5d0f7a3e-2f4b-4c7e-9a51-0d6b6f0f3a11",
    "5d0f7a3e-2f4b-4c7e-9a51-0d6b6f0f3a1",
    "00000000-0000-0000-0000-000000000000",
    "<20261128.1@shop.example>",
    " padded ",
    "0",
    "null",
    "größe/数",
    "a\tb\nc",
    "x" * 255,
    "%s' OR 1=1 --",
]


async def test_same_message_twice_is_one_mail_whatever_its_id(stage: Any, eventually: Any) -> None:
    async with stage.consumer() as consumer:
        await asyncio.wait_for(consumer.consuming.wait(), 20)
        orders = [(f"r{number}@example.org", message_id) for number, message_id in enumerate(IDS)]
        await asyncio.gather(*(stage.order(to, message_id=name) for to, name in orders * 2))
        await stage.order("fence@example.org")
        await eventually("the fence is a mail", lambda: "fence@example.org" in recipients(stage))
        await eventually("nothing is left", lambda: is_settled(stage))

    assert recipients(stage) == Counter([*(to for to, _ in orders), "fence@example.org"])


async def test_uuid_in_capitals_is_the_same_id(stage: Any, eventually: Any) -> None:
    async with stage.consumer():
        await stage.order(message_id=UUID)
        await stage.order(message_id=UUID.upper())
        await stage.order("fence@example.org")
        await eventually("the fence is a mail", lambda: "fence@example.org" in recipients(stage))
        await eventually("nothing is left", lambda: is_settled(stage))

    assert recipients(stage) == Counter(["ada@example.org", "fence@example.org"])


async def test_letter_keeps_the_id_as_it_was_written(stage: Any) -> None:
    async with stage.consumer():
        for message_id in [*IDS, UUID.upper()]:
            await stage.publish(b"invalid", message_id=message_id)
        letters = [await stage.take_letter() for _ in range(len(IDS) + 1)]

    assert {letter.header.properties.message_id for letter in letters} == {*IDS, UUID.upper()}


def recipients(stage: Any) -> Counter[str]:
    return Counter(recipient for recipient, _ in stage.mail_server.mails)


async def is_settled(stage: Any) -> bool:
    rows = await stage.rows("state")
    return bool({state for (state,) in rows} == {"sent"} and await stage.waiting("email.work") == 0)
