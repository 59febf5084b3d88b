"""The health pages and the metrics of a consumer."""

import json
import socket
import urllib.error
import urllib.request
from asyncio import to_thread
from typing import Any

import pytest

from mailpact.settings import HostPort


@pytest.fixture
def listener() -> socket.socket:
    """Return a free port to serve health on."""
    return socket.create_server(("127.0.0.1", 0))


async def asked(listener: socket.socket, path: str) -> tuple[int, str]:
    """Return status and body of a GET."""
    url = f"http://{HostPort(*listener.getsockname()[:2])}{path}"

    def get() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as answer:
            with answer:
                return answer.code, answer.read().decode()

    return await to_thread(get)


async def test_ready_while_it_consumes_and_the_breaker_is_named_while_it_is_open(
    stage: Any, listener: socket.socket, eventually: Any
) -> None:
    async with stage.consumer(health=listener):
        await stage.order()
        await eventually("it is a mail", lambda: stage.mail_server.mails)
        well = await asked(listener, "/readyz")
        stage.mail_server.mail_replies = ["451 4.3.0 later"] * 100_000
        await stage.order()
        await eventually("it is unready", lambda: _status(listener, "/readyz", 503))
        unready = json.loads((await asked(listener, "/readyz"))[1])
        alive = await asked(listener, "/livez")

    assert (well[0], alive[0]) == (200, 200)
    assert not unready["conditions"]["mail server"]["ok"]
    assert "451" in unready["conditions"]["mail server"]["detail"]


async def _status(listener: socket.socket, path: str, status: int) -> bool:
    return (await asked(listener, path))[0] == status


async def test_numbers_count_mails_letters_and_what_waits(
    stage: Any, listener: socket.socket, eventually: Any
) -> None:
    async with stage.consumer(health=listener):
        await stage.order("good@example.org")
        await eventually("it is a mail", lambda: stage.mail_server.mails)
        await stage.publish(b"invalid")
        await stage.take_letter()
        stage.mail_server.rcpt_replies = ["451 4.7.1 greylisted"] * 100_000
        await stage.order("late@example.org")
        await eventually("it waits", lambda: _has(listener, 'mail_delivery_total{result="deferred"}'))
        await asked(listener, "/readyz")
        numbers = (await asked(listener, "/metrics"))[1]

    assert 'mail_delivery_total{result="sent"} 1.0' in numbers
    assert 'mail_delivery_total{result="rejected"} 1.0' in numbers
    assert 'mail_dead_letters_total{code="invalid_json"} 1.0' in numbers
    assert "mail_oldest_undelivered_age_seconds" in numbers
    assert "smtp_breaker_state 0.0" in numbers
    assert "example.org" not in numbers


async def _has(listener: socket.socket, text: str) -> bool:
    return text in (await asked(listener, "/metrics"))[1]
