"""Measure the site: registrations beside bare argon2id, outages, page reads, and the time until a mail is captured.

Each round starts new processes with an empty database, and measures in this order or, every second round, in the
opposite order:

- argon2id: hashes per second of a program that does nothing else, in a thread for each CPU;
- registrations per second of the site, with as many clients as keep its hashing busy, and the CPU time of the
  site beside the hashes, less what an idle site uses; then, with as many clients again, the time of a page read;
- the time of a registration at 10 a second while broker, consumer and mail server are there, and while they are not;
- the time from a registration's post until the mail is in the viewer, one registration after the other.

Run it on a machine that does nothing else.

    make bench-site [ARGS="--rounds 1 --seconds 3"]

Exit status 1: a number misses its target.
"""

import argparse
import asyncio
import itertools
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from argon2 import PasswordHasher

from benchmarks.cpu_time import stat_fields, used_seconds
from mailpact_producer.passwords import LANES, MEMORY_KIB, PASSES, usable_cpus
from tests.command import MAILPACT, environment, run

ROUNDS, SECONDS = 5, 6.0
PER_SECOND = 10
WARM_UP = 10
"""Registrations before those that are measured at 10 a second: threads, caches and code are then in use."""
STEADY_FOR = 2
"""How many times as long as the other measurements: of few times the slowest hundredth is a matter of chance."""
HASHING_SECONDS = 2.0
IDLE_SECONDS = 2.0
CLIENTS_PER_CPU = 8
JOURNEYS = 20
PATIENCE_SECONDS = 60.0
NOBODY = "amqp://guest:guest@127.0.0.1:1/"

LEAST_SHARE, MOST_OWN_CPU_MS = 0.7, 3.0
MOST_READ_MS, MOST_JOURNEY_MS = 50.0, 50.0
MOST_SLOWER, MOST_LATER_MS = 0.10, 5.0

HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')
PASSWORD = "correct horse battery"  # noqa: S105  # of readers that exist for seconds
numbers = itertools.count()


@dataclass(slots=True)
class Times:
    """The times of all rounds."""

    shares: list[float] = field(default_factory=list)
    own_cpu_ms: list[float] = field(default_factory=list)
    reads_ms: list[float] = field(default_factory=list)
    healthy_ms: list[float] = field(default_factory=list)
    outage_ms: list[float] = field(default_factory=list)
    journeys_ms: list[float] = field(default_factory=list)


@contextmanager
def program(folder: Path, ready: str, *words: str) -> Iterator[tuple[int, Sequence[str]]]:
    """Run a command of Mailpact; yield its process id and the groups of `ready` in its log, once the log has them."""
    log = folder / f"{words[0]}-{next(numbers)}.log"
    with log.open("w") as output:
        process = subprocess.Popen(  # noqa: S603  # a command of Mailpact
            [*MAILPACT, *words], stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment()
        )
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (found := re.search(ready, log.read_text())):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(log.read_text())
            time.sleep(0.01)
        yield process.pid, found.groups()
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


@contextmanager
def broker(folder: Path) -> Iterator[str]:
    """Run the development broker with all queues; yield its URL."""
    with program(folder, r"127\.0\.0\.1:(\d+)", "devbroker", "--listen", "127.0.0.1:0") as (
        _,
        (port, *_rest),
    ):
        url = f"amqp://guest:guest@127.0.0.1:{port}/"
        applied = run("topology", "apply", "--amqp-url", url)
        if applied.returncode:
            raise RuntimeError(applied.stderr)
        yield url


@contextmanager
def site(folder: Path, amqp_url: str) -> Iterator[tuple[int, str]]:
    """Run the site on an empty SQLite database; yield its process id and its address."""
    words = ["producer", "--listen", "127.0.0.1:0", "--amqp-url", amqp_url, "--mail-limit-network", "0"]
    database = f"sqlite:///{folder}/site-{next(numbers)}.db"
    ready = r"site on http://127\.0\.0\.1:(\d+)"
    with program(folder, ready, *words, "--database-url", database) as (pid, (port,)):
        yield pid, f"http://127.0.0.1:{port}"


@contextmanager
def mailing(folder: Path, amqp_url: str) -> Iterator[str]:
    """Run a capture server and a consumer; yield the address of the viewer."""
    with ExitStack() as stack:
        words = ["capture", "--smtp", "127.0.0.1:0", "--http", "127.0.0.1:0"]
        store = str(folder / f"mails-{next(numbers)}.db")
        ready = r"(?s)smtp://127\.0\.0\.1:(\d+).*http://127\.0\.0\.1:(\d+)"
        _, (smtp, web) = stack.enter_context(program(folder, ready, *words, "--store", store))
        inbox = f"sqlite:///{folder}/inbox-{next(numbers)}.db"
        words = ["consumer", "--amqp-url", amqp_url, "--smtp-url", f"smtp://127.0.0.1:{smtp}"]
        words += ["--inbox-url", inbox, "--mail-from", "site@example.org"]
        stack.enter_context(program(folder, "connected to the broker", *words))
        yield f"http://127.0.0.1:{web}"


def argon2id() -> float:
    """Return the hashes per second on all CPUs."""
    hasher = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)
    began, ends = time.monotonic(), time.monotonic() + HASHING_SECONDS

    def hash_for_a_while(_number: int) -> int:
        count = 0
        while time.monotonic() < ends:
            hasher.hash(PASSWORD)
            count += 1
        return count

    cpus = usable_cpus()
    with ThreadPoolExecutor(cpus) as threads:
        count = sum(threads.map(hash_for_a_while, range(cpus)))
    return count / (time.monotonic() - began)


def own_cpu_seconds(pid: int) -> float:
    """Return the CPU time of a site's threads that hash no passwords: threads that hash have a lower priority."""
    threads = map(stat_fields, Path(f"/proc/{pid}/task").glob("*/stat"))
    return sum(used_seconds(fields) for fields in threads if fields[16] == "0")


async def idle_share(pid: int) -> float:
    """Return the CPU time per second of an idle site, which sends heartbeats and reads the outbox."""
    before, began = own_cpu_seconds(pid), time.monotonic()
    await asyncio.sleep(IDLE_SECONDS)
    return (own_cpu_seconds(pid) - before) / (time.monotonic() - began)


class Browser:
    """Posts registrations with one form and one cookie."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session
        self._hidden: dict[str, str] = {}

    async def open(self) -> None:
        """Open the page with the form."""
        async with self._session.get(self._url + "/register") as answer:
            self._hidden = dict(HIDDEN.findall(await answer.text()))

    async def register(self) -> tuple[str, float]:
        """Register a new reader; return the address, and the milliseconds until the answer."""
        number = next(numbers)
        email = f"reader-{number}@example.org"
        fields = {
            **self._hidden,
            "form": f"form-{number}",
            "name": "Ada",
            "email": email,
            "password": PASSWORD,
        }
        began = time.perf_counter()
        async with self._session.post(self._url + "/register", data=fields, allow_redirects=False) as answer:
            await answer.read()
            if answer.status != 303:
                raise RuntimeError(f"a registration was answered with {answer.status}")
        return email, (time.perf_counter() - began) * 1000

    async def read(self, stranger: aiohttp.ClientSession) -> float:
        """Read a page without the cookies of this browser; return the milliseconds that it took."""
        began = time.perf_counter()
        async with stranger.get(self._url + "/pages/welcome") as answer:
            await answer.read()
        return (time.perf_counter() - began) * 1000


async def with_browser(url: str, use: Callable[[Browser], Awaitable[None]]) -> None:
    """Open a browser on the site, and pass it to `use`."""
    jar = aiohttp.CookieJar(unsafe=True)
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
    async with aiohttp.ClientSession(cookie_jar=jar, connector=connector, timeout=timeout) as session:
        browser = Browser(url, session)
        await browser.open()
        await use(browser)


def saturated(folder: Path, seconds: float, times: Times) -> None:
    """Measure argon2id, then the site with more registrations than it can hash at once, and page reads meanwhile."""
    bare = argon2id()
    with broker(folder) as amqp_url, site(folder, amqp_url) as (pid, url):

        async def register_until(browser: Browser, ends: float) -> int:
            count = 0
            while time.monotonic() < ends:
                await browser.register()
                count += 1
            return count

        async def read_until(browser: Browser, ends: float) -> None:
            async with aiohttp.ClientSession() as stranger:
                while time.monotonic() < ends:
                    times.reads_ms.append(await browser.read(stranger))
                    await asyncio.sleep(0.05)

        async def measure(browser: Browser) -> None:
            clients = CLIENTS_PER_CPU * usable_cpus()
            idle = await idle_share(pid)
            before, began = own_cpu_seconds(pid), time.monotonic()
            done = sum(
                await asyncio.gather(*(register_until(browser, began + seconds) for _ in range(clients)))
            )
            took = time.monotonic() - began
            times.shares.append(done / took / bare)
            own = own_cpu_seconds(pid) - before - idle * took
            times.own_cpu_ms.append(own * 1000 / done)
            ends = time.monotonic() + seconds
            busy = (register_until(browser, ends) for _ in range(clients))
            await asyncio.gather(read_until(browser, ends), *busy)

        asyncio.run(with_browser(url, measure))


def steady(seconds: float, url: str, into: list[float]) -> None:
    """Measure registrations at a rate of 10 a second."""

    async def measure(browser: Browser) -> None:
        for _ in range(WARM_UP):
            await browser.register()
        began, posts = time.monotonic(), []
        for number in range(int(STEADY_FOR * seconds * PER_SECOND)):
            await asyncio.sleep(began + number / PER_SECOND - time.monotonic())
            posts.append(asyncio.create_task(browser.register()))
        into.extend([took for _, took in await asyncio.gather(*posts)])

    asyncio.run(with_browser(url, measure))


def healthy(folder: Path, seconds: float, times: Times) -> None:
    """Measure registrations with broker, consumer and mail server, and then the time until a mail is in the viewer."""
    with broker(folder) as amqp_url, mailing(folder, amqp_url) as viewer, site(folder, amqp_url) as (_, url):
        steady(seconds, url, times.healthy_ms)

        async def travel(browser: Browser) -> None:
            async with aiohttp.ClientSession() as session:

                async def wait(email: str) -> float:
                    query = {"query": f"to:{email}", "timeout": "30"}
                    async with session.get(f"{viewer}/api/mailpact/v1/wait", params=query) as answer:
                        answer.raise_for_status()
                        await answer.read()
                    return time.perf_counter()

                for _ in range(JOURNEYS):
                    began = time.perf_counter()
                    email, _took = await browser.register()
                    times.journeys_ms.append((await wait(email) - began) * 1000)

        asyncio.run(with_browser(url, travel))


def outage(folder: Path, seconds: float, times: Times) -> None:
    """Measure registrations without broker, consumer and mail server."""
    with site(folder, NOBODY) as (_, url):
        steady(seconds, url, times.outage_ms)


def p99(times_ms: Sequence[float]) -> float:
    """Return the time that 99 of 100 do not exceed."""
    return statistics.quantiles(times_ms, n=100, method="inclusive")[98]


def missed(times: Times) -> list[str]:
    """Print the figures; return the targets that are missed."""
    share, own = statistics.median(times.shares), statistics.median(times.own_cpu_ms)
    reads, journey = p99(times.reads_ms), statistics.median(times.journeys_ms)
    usual, without = p99(times.healthy_ms), p99(times.outage_ms)
    print(
        f"registrations beside argon2id     {share:6.2f}   ({', '.join(f'{each:.2f}' for each in times.shares)})"
    )
    print(f"own CPU beside the hash, ms       {own:6.2f}")
    print(f"page reads meanwhile, p99, ms     {reads:6.1f}   (p50 {statistics.median(times.reads_ms):.1f})")
    print(f"10/s, p99, healthy, ms            {usual:6.1f}   (p50 {statistics.median(times.healthy_ms):.1f})")
    print(
        f"10/s, p99, mail down, ms          {without:6.1f}   (p50 {statistics.median(times.outage_ms):.1f})"
    )
    print(f"registration to viewer, p50, ms   {journey:6.1f}   (p99 {p99(times.journeys_ms):.1f})")
    bounds = {
        f"less than {LEAST_SHARE} of argon2id": share < LEAST_SHARE,
        f"more than {MOST_OWN_CPU_MS} ms of own CPU": own > MOST_OWN_CPU_MS,
        f"page reads over {MOST_READ_MS} ms": reads >= MOST_READ_MS,
        "slower while mail is down": without > max(usual * (1 + MOST_SLOWER), usual + MOST_LATER_MS),
        f"more than {MOST_JOURNEY_MS} ms to the viewer": journey >= MOST_JOURNEY_MS,
    }
    return [name for name, is_missed in bounds.items() if is_missed]


def main() -> int:
    """Measure, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each measurement of a round")
    chosen = parser.parse_args()
    times, steps = Times(), [saturated, healthy, outage]
    for number in range(chosen.rounds):
        with tempfile.TemporaryDirectory(prefix="mailpact-bench-") as folder:
            for step in steps if number % 2 == 0 else reversed(steps):
                step(Path(folder), chosen.seconds, times)
    wanting = missed(times)
    print("missed: " + "; ".join(wanting) if wanting else "every number is reached")
    return 1 if wanting else 0


if __name__ == "__main__":
    sys.exit(main())
