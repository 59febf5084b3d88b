"""Acks are sent in groups, and each delivery is settled only once."""

import asyncio
import random
from typing import Any, cast

import pytest
from aiormq.abc import AbstractChannel, ChannelFrame
from pamqp import frame
from pamqp.commands import Basic

from mailpact.amqp.messages import Message
from mailpact.amqp.subscriber import Acks

DELIVERIES = 40


class SlowChannel:
    """A channel that settles as a broker does; each ack yields to other tasks first."""

    def __init__(self, chance: random.Random) -> None:
        self.open = set(range(1, DELIVERIES + 1))
        self._chance = chance
        self.number, self.is_closed, self.write_queue = 1, False, self

    async def put(self, written: ChannelFrame) -> None:
        """Take what the channel writes."""
        rest = written.payload
        while rest:
            size, _, ack = frame.unmarshal(rest)
            assert isinstance(ack, Basic.Ack)
            await self._ack(ack.delivery_tag or 0, multiple=ack.multiple)
            rest = rest[size:]
        written.drain()

    def create_future(self) -> asyncio.Future[None]:
        return asyncio.get_running_loop().create_future()

    async def _ack(self, tag: int, *, multiple: bool) -> None:
        await self._pause()
        covered = {each for each in self.open if each <= tag} if multiple else {tag} & self.open
        assert covered, f"PRECONDITION_FAILED - unknown delivery tag {tag}"
        self.open -= covered

    async def basic_reject(self, tag: int, *, requeue: bool) -> None:
        await self._pause()
        assert tag in self.open, f"PRECONDITION_FAILED - unknown delivery tag {tag}"
        self.open.remove(tag)

    async def _pause(self) -> None:
        for _ in range(self._chance.randrange(4)):
            await asyncio.sleep(0)


@pytest.mark.parametrize("seed", range(20))
async def test_no_delivery_is_settled_twice_whatever_the_order(seed: int) -> None:
    chance = random.Random(seed)
    channel = SlowChannel(chance)
    acks = Acks(cast(AbstractChannel, channel))
    for tag in range(1, DELIVERIES + 1):
        acks.delivery((tag, False, "", "", Message(b"")))
    settled: set[int] = set()

    async def settle(tag: int) -> Any:
        for _ in range(chance.randrange(12)):
            await asyncio.sleep(0)
        still_open = tag in channel.open
        assert still_open, f"delivery {tag} was acked before its time"
        done = await (acks.refuse(tag, requeue=False) if chance.random() < 0.1 else acks.ack(tag))
        settled.add(tag)
        return done

    done = await asyncio.gather(*(settle(tag) for tag in range(1, DELIVERIES + 1)))

    assert done == [True] * DELIVERIES
    assert (channel.open, len(settled)) == (set(), DELIVERIES)
