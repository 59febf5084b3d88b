"""Send 200,000 messages through the development broker: its memory must not grow with the number of messages.

The broker runs in a process of its own, with a journal. A publisher with a window of confirms and a consumer that
acknowledges each message keep the broker busy. Its resident memory after the first 20,000 messages is compared with
that at the end. The run also measures the time until the broker is ready, with an empty journal and with one of 50,000
messages.

    python benchmarks/devbroker_soak.py [--json] [--messages N]

Exit status 1: a bound is broken.
"""

import argparse
import asyncio
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import aiormq
from aiormq.abc import AbstractChannel, DeliveredMessage
from pamqp import commands
from pamqp.common import FieldTable

MESSAGES = 200_000
WARM, JOURNALLED = (
    0.1,
    0.25,
)  # of the messages: those before memory is read first, and those in a full journal
WINDOW, PREFETCH, BODY = 128, 200, b"x" * 1024
MOST_GROWTH_MIB, MOST_READY_SECONDS, MOST_START_SECONDS = 20.0, 2.0, 0.15
PERSISTENT = commands.Basic.Properties(delivery_mode=2)
QUORUM: FieldTable = {"x-queue-type": "quorum"}


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of the run."""

    messages: int
    messages_per_second: float
    warm_mib: float
    end_mib: float
    start_seconds: float
    full_seconds: float

    @property
    def ratio(self) -> float:
        """Return the memory at the end divided by the memory after the first messages."""
        return self.end_mib / self.warm_mib

    @property
    def broken(self) -> list[str]:
        """Return the bounds that do not hold."""
        grown = self.end_mib - self.warm_mib
        bounds = (
            (f"memory grows by {grown:.1f} MiB", grown, MOST_GROWTH_MIB),
            (f"starting takes {self.start_seconds:.3f} s", self.start_seconds, MOST_START_SECONDS),
            (f"a full journal takes {self.full_seconds:.2f} s", self.full_seconds, MOST_READY_SECONDS),
        )
        return [what for what, measured, most in bounds if measured > most]

    def as_text(self) -> str:
        """Return the figures for a person."""
        return (
            f"{self.messages:,} messages, {self.messages_per_second:,.0f}/s; memory {self.warm_mib:.1f} MiB after "
            f"{int(self.messages * WARM):,}, {self.end_mib:.1f} MiB at the end: ratio {self.ratio:.2f}\n"
            f"ready {self.start_seconds * 1000:.0f} ms after its imports, "
            f"with {int(self.messages * JOURNALLED):,} journalled messages after {self.full_seconds:.2f} s"
        )


async def serve(journal: Path) -> None:
    """Run the broker until standard input ends; the time until it is ready counts from after the imports."""
    from mailpact_cli.log_output import configure_logging
    from mailpact_devbroker.service import running

    configure_logging(verbose=False)
    started = time.perf_counter()
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    async with running(listener, journal=journal) as server:
        told = {"url": server.url, "ready_seconds": time.perf_counter() - started}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker process that is ready."""

    process: asyncio.subprocess.Process
    url: str
    ready_seconds: float

    def resident_mib(self) -> float:
        """Return the broker's resident memory in MiB."""
        asked = ["ps", "-o", "rss=", "-p", str(self.process.pid)]
        found = subprocess.run(asked, capture_output=True, check=True)  # noqa: S603  # fixed words
        return int(found.stdout) / 1024


@asynccontextmanager
async def broker(journal: Path) -> AsyncIterator[Broker]:
    """Yield a broker that uses this journal."""
    with (journal.parent / "broker.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, __file__, "--serve", str(journal)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018  # both are pipes
    try:
        told = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
        yield Broker(process, told["url"], told["ready_seconds"])
    finally:
        process.stdin.close()
        await asyncio.wait_for(process.wait(), 60)


async def publish(channel: AbstractChannel, count: int) -> None:
    """Publish that many messages, with at most a window of them unconfirmed."""
    window = asyncio.Semaphore(WINDOW)

    async def one() -> None:
        try:
            await channel.basic_publish(BODY, routing_key="soak", properties=PERSISTENT)
        finally:
            window.release()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(count):
            await window.acquire()
            tasks.create_task(one())


async def soak(running: Broker, messages: int) -> tuple[float, float, float]:
    """Send messages through the broker; return messages per second, and its memory early and at the end in MiB."""
    connection = await aiormq.connect(running.url)
    publisher, consumer = await connection.channel(), await connection.channel()
    await publisher.queue_declare("soak", durable=True, arguments=QUORUM)
    early, all_here, taken, warm = int(messages * WARM), asyncio.Event(), 0, 0.0

    async def take(message: DeliveredMessage) -> None:
        nonlocal taken, warm
        await consumer.basic_ack(message.delivery_tag or 0)
        taken += 1
        if taken == early:
            warm = running.resident_mib()
        if taken == messages:
            all_here.set()

    await consumer.basic_qos(prefetch_count=PREFETCH)
    await consumer.basic_consume("soak", take)
    started = time.perf_counter()
    await publish(publisher, messages)
    await asyncio.wait_for(all_here.wait(), 60)
    elapsed = time.perf_counter() - started
    end = running.resident_mib()
    await connection.close()
    return messages / elapsed, warm, end


async def fill(running: Broker, count: int) -> None:
    """Publish messages that stay in the journal."""
    connection = await aiormq.connect(running.url)
    channel = await connection.channel()
    await channel.queue_declare("soak", durable=True, arguments=QUORUM)
    await publish(channel, count)
    await connection.close()


async def measure(messages: int) -> Figures:
    """Measure all figures in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="mailpact-soak-") as folder:
        async with broker(Path(folder) / "soak.db") as running:
            start_seconds = running.ready_seconds
            per_second, warm, end = await soak(running, messages)
        async with broker(Path(folder) / "full.db") as running:
            await fill(running, int(messages * JOURNALLED))
        async with broker(Path(folder) / "full.db") as running:
            ready_seconds = running.ready_seconds
    return Figures(messages, per_second, warm, end, start_seconds, ready_seconds)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Soak the development broker.")
    parser.add_argument("--messages", type=int, default=MESSAGES, help="fewer for a quick look")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve is not None:
        asyncio.run(serve(given.serve))
        return 0
    figures = asyncio.run(measure(given.messages))
    if given.json:
        told: dict[str, object] = {**asdict(figures), "ratio": figures.ratio, "broken": figures.broken}
        sys.stdout.write(json.dumps(told) + "\n")
    else:
        sys.stdout.write(figures.as_text() + "\n")
        sys.stderr.writelines(f"broken: {what}\n" for what in figures.broken)
    return 1 if figures.broken else 0


if __name__ == "__main__":
    sys.exit(main())
