"""Measure the capture server beside Mailpit in turns in one run, with the same client.

Each round starts both servers with an empty store on the disk. It measures the time until the server is ready; mails
per second of 1 KB over 1, 10 and 20 connections and of 100 KB over 10, all kept open; the server's CPU time for a mail
of 1 KB, which depends least on other programs on the machine; and, with 10,000 mails, the time of a list and of a
search. For our server only, it measures how long after the 250 a waiting client gets its answer, and the rate while 20
clients poll the list every half second. Run it on a machine that does nothing else.

Our server forces each commit to the disk, and Mailpit does not: over one connection the disk sets our rate.

    make bench-capture [ARGS="--rounds 1 --mails 10000"]

Exit status 1: the median of a ratio or of a time misses its target.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import aiohttp
import uvloop

from benchmarks.cpu_time import cpu_seconds
from tests.capture_process import CaptureProcess
from tests.polyglot.mailpit import Mailpit, program

LARGE, LARGE_MAILS, LARGE_CONNECTIONS = 100_000, 300, 10
CONNECTIONS = (1, 10, 20)
SMALL_MAILS = {1: 800, 10: 2_000, 20: 2_000}
ASKED, WAITS = 15, 20
POLLERS, POLL_SECONDS, POLLED_MAILS = 20, 0.5, 2_000

Figures = dict[str, float]

AT_LEAST = {
    "1 KB, 1 connection": 0.8,
    "1 KB, 10 connections": 1.0,
    "1 KB, 20 connections": 1.0,
    "100 KB": 2.0,
}


class Ours(CaptureProcess):
    """A running `mailpact capture` that deletes no old mail during the run."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "--keep-mails", "1000000")


def mail(size: int, number: int) -> bytes:
    """Return one mail of about this many bytes."""
    head = f"From: Ada <a@x.org>\r\nTo: b@x.org\r\nSubject: Mail {number} of the benchmark\r\n\r\n".encode()
    line = b"Words of a mail, some more of them, and a number at the end: 0123456789\r\n"
    return head + line * ((size - len(head)) // len(line))


async def send(port: int, mails: list[bytes]) -> None:
    """Send mails over one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await reader.readline()
    writer.write(b"EHLO bench\r\n")
    while (await reader.readline())[3:4] == b"-":
        pass
    for content in mails:
        for command in (
            b"MAIL FROM:<a@x.org>\r\n",
            b"RCPT TO:<b@x.org>\r\n",
            b"DATA\r\n",
            content + b".\r\n",
        ):
            writer.write(command)
            answer = await reader.readline()
            if answer[:1] not in b"23":
                raise RuntimeError(answer.decode())
    writer.close()


async def rate(port: int, size: int, mails: int, connections: int) -> float:
    """Return the mails per second."""
    share = [mail(size, number) for number in range(mails // connections)]
    began = time.perf_counter()
    await asyncio.gather(*(send(port, share) for _ in range(connections)))
    return len(share) * connections / (time.perf_counter() - began)


async def asked_ms(session: aiohttp.ClientSession, url: str) -> float:
    """Return the median time of a request in milliseconds."""
    times = []
    for _ in range(ASKED):
        began = time.perf_counter()
        async with session.get(url) as answer:
            await answer.read()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


async def waited_ms(session: aiohttp.ClientSession, server: Ours) -> float:
    """Return the median milliseconds from a 250 until a client that waits for that mail has its answer."""
    times = []
    for number in range(WAITS):
        subject = f"awaited-{number}"
        url = f"{server.url}/api/mailpact/v1/wait?query=subject:{subject}&timeout=60"

        async def waiting(url: str = url) -> float:
            async with session.get(url) as answer:
                await answer.read()
            return time.perf_counter()

        answered = asyncio.create_task(waiting())
        await asyncio.sleep(0.05)
        await send(server.smtp_port, [f"Subject: {subject}\r\n\r\nx\r\n".encode()])
        taken = time.perf_counter()
        times.append((await answered - taken) * 1000)
    return statistics.median(times)


async def polled_rate(session: aiohttp.ClientSession, server: Ours) -> float:
    """Return the mails per second over ten connections while clients poll the list."""

    async def poll() -> None:
        while True:
            async with session.get(server.url + "/api/v1/messages") as answer:
                await answer.read()
            await asyncio.sleep(POLL_SECONDS)

    polling = [asyncio.create_task(poll()) for _ in range(POLLERS)]
    try:
        return await rate(server.smtp_port, 1000, POLLED_MAILS, 10)
    finally:
        for each in polling:
            each.cancel()


async def measure(server: "Ours | Mailpit", mails: int) -> Figures:
    """Measure one server and return its figures."""
    figures: Figures = {}
    for connections in CONNECTIONS:
        name = f"1 KB, {connections} connection{'s' if connections > 1 else ''}"
        figures[name] = await rate(server.smtp_port, 1000, SMALL_MAILS[connections], connections)
    missing, began = mails - sum(SMALL_MAILS.values()), cpu_seconds(server.process.pid)
    await rate(server.smtp_port, 1000, missing, 20)
    figures["1 KB, CPU of a mail, us"] = (cpu_seconds(server.process.pid) - began) / missing * 1e6
    async with aiohttp.ClientSession() as session:
        figures["list, ms"] = await asked_ms(session, server.url + "/api/v1/messages")
        figures["search, ms"] = await asked_ms(session, server.url + "/api/v1/search?query=number+nowhere")
        if isinstance(server, Ours):
            figures["wait after the 250, ms"] = await waited_ms(session, server)
            quiet = await rate(server.smtp_port, 1000, POLLED_MAILS, 10)
            figures["rate while 20 poll"] = await polled_rate(session, server) / quiet
    figures["100 KB"] = await rate(server.smtp_port, LARGE, LARGE_MAILS, LARGE_CONNECTIONS)
    return figures


def one_round(start: Callable[[Path], "Ours | Mailpit"], mails: int) -> Figures:
    """Start a server, measure its figures and stop it."""
    with tempfile.TemporaryDirectory(prefix="mailpact-bench-") as folder:
        began = time.perf_counter()
        server = start(Path(folder))
        ready = time.perf_counter() - began
        try:
            figures = uvloop.run(measure(server, mails))
        finally:
            server.stop()
    return figures | {"ready, s": ready}


def missed(ours: Figures, theirs: Figures) -> list[str]:
    """Return the targets that are missed."""
    found = [name for name, least in AT_LEAST.items() if ours[name] < least * theirs[name]]
    bounds = {
        "list, ms": 10.0, "search, ms": theirs["search, ms"], "wait after the 250, ms": 20.0, "ready, s": 0.7,
    }  # fmt: skip
    found += [name for name, most in bounds.items() if ours[name] > most]
    return found + ["rate while 20 poll"] * (ours["rate while 20 poll"] < 0.8)


def main() -> int:
    """Measure, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mails", type=int, default=10_000)
    chosen = parser.parse_args()
    mailpit = program()
    starts: dict[str, Callable[[Path], Ours | Mailpit]] = {
        "ours": Ours,
        "mailpit": lambda folder: Mailpit(mailpit, folder),
    }
    rounds: dict[str, list[Figures]] = {name: [] for name in starts}
    for number in range(chosen.rounds):
        for name in sorted(starts, reverse=number % 2 == 0):
            rounds[name].append(one_round(starts[name], chosen.mails))
    ours, theirs = (
        {key: statistics.median(each[key] for each in rounds[name]) for key in rounds[name][0]}
        for name in starts
    )
    for key, figure in ours.items():
        other = theirs.get(key)
        beside = f"{other:10.2f}   {figure / other:5.2f}" if other else ""
        print(f"{key:<26}{figure:10.2f}{beside}")
    wanting = missed(ours, theirs)
    print("missed: " + "; ".join(wanting) if wanting else "every number is reached")
    return 1 if wanting else 0


if __name__ == "__main__":
    sys.exit(main())
