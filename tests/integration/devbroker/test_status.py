"""The status page over HTTP: what is in the queues, who consumes, and how fast."""

import asyncio
import socket

import aiohttp
import pytest

from mailpact_devbroker.service import running


@pytest.fixture
async def shown(listener, tmp_path):
    """Yield a broker with its status page: the URLs of both."""
    view = socket.socket()
    view.bind(("127.0.0.1", 0))
    async with running(listener, journal=None, status=view) as server:
        yield server.url, f"http://127.0.0.1:{view.getsockname()[1]}"


async def get(url: str) -> dict:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 200
        return await answer.json()


async def test_a_broker_that_runs_is_healthy(shown):
    assert await get(shown[1] + "/healthz") == {"status": "ok"}


async def test_queues_are_shown_with_their_messages_and_consumers(shown, connect):
    channel = await (await connect(shown[0])).channel()
    await channel.queue_declare("q", durable=True, arguments={"x-queue-type": "quorum"})
    for _ in range(3):
        await channel.basic_publish(b"m", routing_key="q")
    arrived = asyncio.Queue()
    await channel.basic_qos(prefetch_count=2)
    await channel.basic_consume("q", arrived.put, consumer_tag="c")
    first = await arrived.get()
    await channel.basic_ack(first.delivery_tag)
    for _ in range(2):
        await arrived.get()

    view = await get(shown[1] + "/status")

    (queue,) = view["queues"]
    rates = queue.pop("rates")
    assert queue == {
        "name": "q",
        "type": "quorum",
        "durable": True,
        "exclusive": False,
        "ready": 0,
        "unacked": 2,
        "held_letters": 0,
        "totals": {"published": 3, "delivered": 3, "acknowledged": 1, "returned": 0},
        "consumers": [{"tag": "c", "connection": 1, "prefetch": 2, "unacked": 2}],
    }
    assert rates.keys() <= queue["totals"].keys()
    assert (view["connections"], view["memory"]["publishers_wait"]) == (1, False)
    assert view["memory"]["held_bytes"] > 0


async def test_the_view_can_only_be_looked_at(shown):
    async with aiohttp.ClientSession() as session, session.post(shown[1] + "/status") as answer:
        assert answer.status == 405
