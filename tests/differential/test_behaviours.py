"""The development broker and RabbitMQ show the same behaviours in one run, except for written differences.

A difference that is written down must still be true: a wrong entry fails the test.
"""

import asyncio
from typing import Any

import pytest

from tests.differential.behaviours import BEHAVIOURS, CORE, Behaviour
from tests.differential.behaviours.operating import OPERATED
from tests.differential.client import Client, Observation
from tests.differential.differences import WRITTEN, assert_alike

BEHAVIOUR_SECONDS = 30


async def observe(behaviour: Behaviour, url: str) -> Observation:
    client = Client(url)
    try:
        async with asyncio.timeout(BEHAVIOUR_SECONDS):
            return await behaviour(client)
    finally:
        await client.close()


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda each: each.__name__)
async def test_both_brokers_do_the_same(
    behaviour: Behaviour, devbroker_url: str, rabbitmq_url: str, rabbitmq: Any
) -> None:
    theirs, ours = await asyncio.gather(observe(behaviour, rabbitmq_url), observe(behaviour, devbroker_url))

    assert_alike(behaviour.__name__, theirs, ours, rabbitmq.version)


def test_the_list_is_long_and_each_behaviour_stands_in_it_once() -> None:
    names = [behaviour.__name__ for behaviour in BEHAVIOURS]

    assert len(names) >= 60
    assert sorted(set(names)) == sorted(names)
    assert set(names) >= CORE


def test_each_difference_is_one_of_a_behaviour_and_has_a_reason() -> None:
    names = {behaviour.__name__ for behaviour in [*BEHAVIOURS, *OPERATED]}
    entries = WRITTEN["behaviours"]

    assert [each["behaviour"] for each in entries if each["behaviour"] not in names] == []
    assert [each for each in entries if each["rabbitmq"] == each["devbroker"]] == []
    assert [each for kind in WRITTEN.values() for each in kind if len(each["reason"]) < 20] == []
