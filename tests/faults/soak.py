"""Run the whole system for minutes under random faults, and check the result at the end.

    python -m tests.faults.soak [--seconds 600] [--seed NUMBER] [--rate 5]

Two sites and two consumers run on RabbitMQ and MariaDB, or, if these are not available, on the development broker and
SQLite. Readers register all the time. One site, one consumer, the broker and the mail server are killed, stopped,
frozen and disconnected, and the mail server refuses, delays and disconnects. The seed decides which faults come and how
long they last. At the end all faults are removed, and the run waits until every message has ended.

The exit status is 1 if a committed registration has not ended in exactly one mail (a second mail must have been
reported as uncertain), or if memory, open files or tasks of a process that ran throughout have grown.
"""

import argparse
import hashlib
import http.client
import random
import re
import secrets
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.faults.soak_faults import System, faults_of, started_system

SECONDS, RATE = 600.0, 5.0
WARM_SECONDS = 3.0
SAMPLE_SECONDS = 1.0
PROGRESS_SECONDS = 10.0
DRAIN_SECONDS = 180.0
GROWTH, SPARE_BYTES = 1.2, 30_000_000
SPARE_FILES, SPARE_TASKS = 15, 15
NUMBERS = ("process_resident_memory_bytes", "process_open_fds", "mailpact_tasks")


@dataclass(frozen=True, slots=True)
class Row:
    """The inbox's data about one mail: its state, and the number of possible additional copies."""

    state: str
    copies: int


def sha256(address: str) -> str:
    """Return the hash under which the inbox knows an address."""
    return hashlib.sha256(address.encode()).hexdigest()


def account(stored: Iterable[str], mails: Mapping[str, int], inbox: Mapping[str, Row]) -> list[str]:
    """Return each breach of the promise: one committed registration is one mail, or a second one that was reported.

    `stored` are the addresses of the readers in the site's database, `mails` counts the captured mails by address, and
    `inbox` has the consumers' rows by the hash of the address.
    """
    readers = set(stored)
    problems = [f"{address}: a mail without a registration" for address in sorted(set(mails) - readers)]
    for address in sorted(readers):
        row, count = inbox.get(sha256(address)), mails.get(address, 0)
        if count == 0:
            problems.append(f"{address}: no mail; the inbox says {row.state if row else 'nothing'}")
        elif row is None or row.state != "sent":
            problems.append(f"{address}: {count} mails, and the inbox says {row.state if row else 'nothing'}")
        elif count > 1 + row.copies:
            problems.append(f"{address}: {count} mails, and only {row.copies} were reported as uncertain")
    return problems


Sample = tuple[float, float, float]
"""Memory in bytes, open files and tasks of one process at one moment."""


def growth(name: str, samples: list[Sample], first: Sample, last: Sample) -> list[str]:
    """Return what has grown in a process: memory within the run, files and tasks from one quiet moment to another."""
    third = max(1, len(samples) // 3)
    early, late = (min(sample[0] for sample in part) for part in (samples[:third], samples[-third:]))
    problems = []
    if late > early * GROWTH + SPARE_BYTES:
        problems.append(f"{name}: memory has grown from {early / 1e6:.0f} to {late / 1e6:.0f} MB")
    for number, what, spare in ((1, "open files", SPARE_FILES), (2, "tasks", SPARE_TASKS)):
        if last[number] > first[number] + spare:
            problems.append(f"{name}: {what} have grown from {first[number]:.0f} to {last[number]:.0f}")
    return problems


class Sampler:
    """Reads the numbers of processes that run throughout, from their `/metrics`."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._addresses = addresses
        self.samples: dict[str, list[Sample]] = {name: [] for name in addresses}

    def read(self) -> None:
        """Add a sample of each process that answers within two seconds."""
        for name, address in self._addresses.items():
            try:
                with urllib.request.urlopen(f"http://{address}/metrics", timeout=2) as answer:
                    found = dict(re.findall(r"^(\w+) (\S+)$", answer.read().decode(), re.MULTILINE))
            except OSError:  # the process is frozen at the moment
                continue
            memory, files, tasks = (float(found[number]) for number in NUMBERS)
            self.samples[name].append((memory, files, tasks))


class Registrations:
    """Registers readers at the sites in turn, in threads, because a frozen site must not hold up the other."""

    def __init__(self, system: System, rate: float) -> None:
        self._system, self._rate = system, rate
        self._ended = threading.Event()
        self.asked = 0
        self.answers: Counter[str] = Counter()

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Register readers until the context ends."""
        with ThreadPoolExecutor(max_workers=12) as threads:
            clock = threading.Thread(target=self._run, args=(threads,))
            clock.start()
            try:
                yield
            finally:
                self._ended.set()
                clock.join()

    def _run(self, threads: ThreadPoolExecutor) -> None:
        waiting = threading.BoundedSemaphore(12)
        while not self._ended.wait(1 / self._rate):
            if waiting.acquire(blocking=False):
                threads.submit(self._register, self.asked, waiting)
                self.asked += 1

    def _register(self, number: int, waiting: threading.BoundedSemaphore) -> None:
        site = ("site", "second site")[number % 2]
        try:
            answer = str(self._system.register(f"reader-{number}@example.org", site))
        except (OSError, http.client.HTTPException) as error:  # the site was killed, or is frozen
            answer = type(error).__name__
        finally:
            waiting.release()
        self.answers[answer] += 1


def soak(system: System, seconds: float, rate: float, chance: random.Random) -> list[str]:
    """Run the system under faults, end the faults, and return which promises were broken."""
    sampler = Sampler(system.steady)
    registrations = Registrations(system, rate)
    with registrations.going_on():
        time.sleep(min(WARM_SECONDS, seconds / 5))
        sampler.read()
        first = {name: samples[-1] for name, samples in sampler.samples.items()}
        _break_things(system, sampler, registrations, seconds, chance)
    drained = _drain(system)
    sampler.read()
    say(f"answers to registrations: {dict(registrations.answers)}")
    rows = {recipient: Row(*row) for recipient, row in system.inbox().items()}
    problems = account(system.stored(), Counter(system.recipients()), rows)
    if not drained:
        problems.append(f"after {system.settle_seconds + DRAIN_SECONDS:.0f} s mail is still on its way")
    if system.waiting("email.dead"):
        problems.append(f"{system.waiting('email.dead')} dead letters")
    for name, samples in sampler.samples.items():
        problems += growth(name, samples, first[name], samples[-1])
        say(f"{name}: {as_text(first[name])} at first, {as_text(samples[-1])} in the end")
    copies = sum(row.copies for row in rows.values())
    say(
        f"{len(system.stored())} registrations, {len(system.recipients())} mails, {copies} reported as uncertain"
    )
    return problems


def as_text(sample: Sample) -> str:
    """Return a sample in words."""
    return f"{sample[0] / 1e6:.0f} MB, {sample[1]:.0f} open files, {sample[2]:.0f} tasks"


def _break_things(
    system: System, sampler: Sampler, registrations: Registrations, seconds: float, chance: random.Random
) -> None:
    """Repeat until the time is over: begin one or two faults, wait, end them, wait again."""
    began = time.monotonic()
    reported = 0.0

    def wait(duration: float) -> None:
        nonlocal reported
        until = time.monotonic() + duration
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(SAMPLE_SECONDS, left))
            sampler.read()
            now = time.monotonic() - began
            if now - reported >= PROGRESS_SECONDS:
                reported = now
                say(f"{now:5.0f} s: {registrations.asked} registrations asked for")

    longest = min(12.0, seconds / 5)
    while (left := began + seconds - time.monotonic()) > 0:
        possible = faults_of(system, left)
        chosen = chance.sample(sorted(possible), k=chance.choice((1, 1, 2)))
        duration, rest = chance.uniform(longest / 4, longest), chance.uniform(1, longest / 3)
        if len({name.split()[0] for name in chosen}) < len(chosen):
            continue  # a process that is killed cannot be frozen
        say(f"{seconds - left:5.0f} s: {' and '.join(chosen)} for {duration:.1f} s")
        with ExitStack() as stack:
            for name in chosen:
                stack.enter_context(possible[name](system))
            wait(min(duration, left))
        wait(rest)


def _drain(system: System) -> bool:
    """Wait until each message has ended; return False if that takes too long."""
    deadline = time.monotonic() + system.settle_seconds + DRAIN_SECONDS
    told: dict[str, int] = {}
    while time.monotonic() < deadline:
        left = system.on_its_way()
        if not left:
            return True
        if left != told:
            say(f"waiting for what is on its way: {left}")
            told = left
        time.sleep(2)
    return False


def say(line: str) -> None:
    """Report progress."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201  # progress


def main() -> int:
    """Run the soak, print the seed and the result, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long faults come")
    parser.add_argument("--seed", type=int, default=None, help="the same seed makes the same choices")
    parser.add_argument("--rate", type=float, default=RATE, help="registrations per second")
    chosen = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if chosen.seed is None else chosen.seed
    say(f"seed {seed}")
    with (
        tempfile.TemporaryDirectory(prefix="mailpact-soak-") as folder,
        started_system(Path(folder), say) as system,
    ):
        problems = soak(system, chosen.seconds, chosen.rate, random.Random(seed))
    for problem in problems[:20]:
        print(problem)  # noqa: T201  # the result
    print(f"seed {seed}: {'ok' if not problems else f'{len(problems)} problems'}")  # noqa: T201  # the result
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
