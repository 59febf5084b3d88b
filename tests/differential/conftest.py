"""A fresh development broker and a fresh vhost of RabbitMQ for each behaviour."""

import socket
from collections.abc import AsyncIterator

import pytest

from mailpact_devbroker.service import running


@pytest.fixture
async def devbroker_url() -> AsyncIterator[str]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    async with running(listener, journal=None) as server:
        yield server.url
