"""Publish with confirms to the development broker and to RabbitMQ in one run, and compare the rates.

The client takes next to no CPU time: it sends frames that were made beforehand and counts the confirms, with at most
500 messages unconfirmed. The queue is classic and durable, and so are the messages; the development broker runs without
a journal, as `mailpact devbroker` does. RabbitMQ is the one that the tests use (`tests/servers`).

    python benchmarks/devbroker_confirms.py [--json] [--share S]

Exit status 1: a ratio is missed. 3: there is no RabbitMQ.
"""

import argparse
import asyncio
import json
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pamqp import base, commands, frame, header

WINDOW = 500
ROUNDS = 3
SIZES = {1024: 0.7, 1024 * 1024: 0.6}  # bytes of a body, and the ratio that is required
MESSAGES = {
    1024: 60_000,
    1024 * 1024: 160,
}  # in a round: fewer than the development broker's bound on memory allows
_ACK = struct.Struct(">BHIHHQBB")


class Publisher:
    """One connection with a channel in confirm mode and an empty queue, over a blocking socket."""

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        self._socket = socket.create_connection((place.hostname or "", place.port or 5672), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._heard = b""
        self._socket.sendall(b"AMQP\0\0\x09\x01")
        login = f"\0{unquote(place.username or '')}\0{unquote(place.password or '')}"
        self._ask(0, None)
        self._ask(0, commands.Connection.StartOk({}, "PLAIN", login, "en_US"))
        self._say(0, commands.Connection.TuneOk(100, 131_072, 0))
        self._ask(0, commands.Connection.Open(unquote(place.path[1:]) or "/"))
        self._ask(1, commands.Channel.Open())
        self._ask(1, commands.Confirm.Select())
        self._ask(1, commands.Queue.Declare(queue="bench", durable=True))
        self._confirmed = 0

    def rate(self, size: int, messages: int) -> float:
        """Return the confirmed messages per second for bodies of this size; the queue is empty afterwards."""
        message, window = _message(b"x" * size), min(WINDOW, max(4, 32 * 1024 * 1024 // size))
        batch = max(1, window // 4)
        first = published = self._confirmed
        started = time.perf_counter()
        while self._confirmed < first + messages:
            if published < first + messages and published - self._confirmed <= window - batch:
                self._socket.sendall(message * batch)
                published += batch
            else:
                self._hear_confirms()
        elapsed = time.perf_counter() - started
        while self._confirmed < published:
            self._hear_confirms()
        self._ask(1, commands.Queue.Purge(queue="bench"))
        return messages / elapsed

    def close(self) -> None:
        """Delete the queue and close the connection."""
        self._ask(1, commands.Queue.Delete(queue="bench"))
        self._ask(0, commands.Connection.Close(200, "done", 0, 0))
        self._socket.close()

    def _hear_confirms(self) -> None:
        self._heard += self._socket.recv(65_536)
        at = 0
        while len(self._heard) - at >= _ACK.size:
            _, _, size, kind, method, tag, _, _ = _ACK.unpack_from(self._heard, at)
            if (size, kind, method) != (13, 60, 80):
                raise RuntimeError(f"no confirm, but {self._heard[at : at + 40]!r}")
            self._confirmed, at = tag, at + _ACK.size
        self._heard = self._heard[at:]

    def _say(self, channel: int, method: base.Frame) -> None:
        self._socket.sendall(frame.marshal(method, channel))

    def _ask(self, channel: int, method: base.Frame | None) -> None:
        if method is not None:
            self._say(channel, method)
        while True:
            size = int.from_bytes(self._heard[3:7]) + 8 if len(self._heard) >= 7 else 0
            if size and len(self._heard) >= size:
                self._heard = self._heard[size:]
                return
            received = self._socket.recv(65_536)
            if not received:
                raise ConnectionError("the broker closed the connection")
            self._heard += received


def _message(body: bytes) -> bytes:
    """Return the frames of one persistent message, as our own client publishes it."""
    properties = commands.Basic.Properties(
        content_type="application/json",
        delivery_mode=2,
        message_id="5c5b7a1e-4f43-4a7e-9f0e-0d5b6c1f8a10",
        message_type="email.v1",
        app_id="benchmark",
    )
    room = 131_072 - 8
    method = frame.marshal(commands.Basic.Publish(routing_key="bench"), 1)
    head = frame.marshal(header.ContentHeader(0, len(body), properties), 1)
    parts = [body[at : at + room] for at in range(0, len(body), room)]
    return method + head + b"".join(struct.pack(">BHI", 3, 1, len(each)) + each + b"\xce" for each in parts)


async def serve() -> None:
    """Run the development broker until standard input ends."""
    from mailpact_cli.log_output import configure_logging
    from mailpact_devbroker.service import running

    configure_logging(verbose=False)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    async with running(listener, journal=None) as server:
        sys.stdout.write(server.url + "\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


@contextmanager
def development_broker() -> Iterator[str]:
    """Run the development broker in a process of its own and yield its URL."""
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # noqa: S603  # fixed
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018  # both are pipes
        yield process.stdout.readline().decode().strip()
        process.stdin.close()


def measure(rabbitmq: str, share: float) -> dict[int, tuple[float, float]]:
    """Return the median rates of both brokers, RabbitMQ's first, by size of a body in bytes."""
    rates: dict[int, tuple[list[float], list[float]]] = {size: ([], []) for size in SIZES}
    with development_broker() as ours:
        for size, both in rates.items():
            for _ in range(ROUNDS):
                for url, found in zip((rabbitmq, ours), both, strict=True):
                    with closing(Publisher(url)) as publisher:
                        found.append(publisher.rate(size, max(1, int(MESSAGES[size] * share))))
    return {
        size: (statistics.median(theirs), statistics.median(mine)) for size, (theirs, mine) in rates.items()
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Compare publishing with confirms to RabbitMQ.")
    parser.add_argument("--share", type=float, default=1.0, help="of the messages, for a quick look")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        asyncio.run(serve())
        return 0
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.servers.packages import NotAvailable
    from tests.servers.where import Servers

    servers = Servers()
    try:
        broker = servers.rabbitmq
        broker.add_vhost("bench-confirms")
        rates = measure(broker.url("bench-confirms"), given.share)
        broker.delete_vhost("bench-confirms")
    except NotAvailable as error:
        sys.stderr.write(f"{error}\n")
        return 3
    finally:
        servers.close()
    missed = [size for size, (theirs, ours) in rates.items() if ours / theirs < SIZES[size]]
    if given.json:
        told = {str(size): {"rabbitmq": theirs, "devbroker": ours} for size, (theirs, ours) in rates.items()}
        sys.stdout.write(json.dumps(told) + "\n")
    else:
        for size, (theirs, ours) in rates.items():
            sys.stdout.write(
                f"{size:>9,} bytes: RabbitMQ {theirs:,.0f}/s, development broker {ours:,.0f}/s, "
                f"ratio {ours / theirs:.2f} (to reach: {SIZES[size]})\n"
            )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
