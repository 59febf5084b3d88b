"""Fixtures: the command in a process of its own, a development broker, and RabbitMQ with the exported definitions."""

import asyncio
import base64
import json
import secrets
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from mailpact.contracts import catalogue
from mailpact_contract_tool.publish.definitions import USERS, definitions
from mailpact_devbroker.service import running
from tests import command
from tests.servers.rabbitmq import Rabbitmq

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run `mailpact …` to its end."""
    return partial(command.run, cwd=tmp_path, seconds=40)


@pytest.fixture
async def devbroker_url() -> AsyncIterator[str]:
    """Yield a fresh development broker in this process."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    async with running(listener, journal=None) as server:
        yield server.url


@pytest.fixture(params=["devbroker_url", "rabbitmq_url"])
def broker_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of each of the two brokers, empty."""
    url: str = request.getfixturevalue(request.param)
    return url


@dataclass(frozen=True)
class Imported:
    """A vhost with the imported definitions, and passwords for its users."""

    node: Rabbitmq
    vhost: str
    password: str

    def url(self, user: str) -> str:
        """Return the URL by which a user logs in."""
        return f"amqp://{user}:{self.password}@127.0.0.1:{self.node.port}/{self.vhost}"

    def import_again(self) -> None:
        """Import the definitions."""
        document = json.dumps(definitions(catalogue.load().topology, vhost=self.vhost))
        encoded = base64.b64encode(document.encode()).decode()
        self.node.call(f'ok = rabbit_definitions:import_raw(base64:decode(<<"{encoded}">>))')

    def set_passwords(self) -> None:
        """Set the users' passwords, as an operator does with `rabbitmqctl change_password`."""
        self.node.call(_for_each_user(f'change_password(User, <<"{self.password}">>, <<"test">>)'))


def _for_each_user(expression: str) -> str:
    users = ", ".join(f'<<"{user}">>' for user in USERS)
    return f"[rabbit_auth_backend_internal:{expression} || User <- [{users}]]"


@dataclass
class Mailbox:
    """A mail server that accepts all mail, and reports each mail to the test."""

    port: int
    came: asyncio.Event = field(default_factory=asyncio.Event)
    bodies: list[bytes] = field(default_factory=list)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802  # aiosmtpd's name
        """Take a mail."""
        self.bodies.append(bytes(envelope.content or b""))
        self.came.set()
        return "250 OK"


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    """Yield a mail server on loopback."""
    listener = socket.create_server(("127.0.0.1", 0))
    box = Mailbox(listener.getsockname()[1])
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(box, hostname="localhost"), sock=listener
    )
    yield box
    server.close()


@pytest.fixture
def imported(rabbitmq_url: str, rabbitmq_node: Rabbitmq) -> Iterator[Imported]:
    """Return RabbitMQ after the import, before any user has a password."""
    vhost = urlsplit(rabbitmq_url).path.removeprefix("/")
    place = Imported(rabbitmq_node, vhost, secrets.token_hex(8))
    place.import_again()
    yield place
    rabbitmq_node.call(_for_each_user('delete_user(User, <<"test">>)'))
