"""Measure the consumer's speed beside three peers, in turns in one run, on RabbitMQ, MariaDB and smtp-sink.

The peers: (a) the seed's worker with manual acks and one SMTP connection for each mail, (b) the same worker with one
connection that it keeps, (c) FastStream with aiosmtplib as their documentation shows. All take the same messages from a
quorum queue with the arguments of `email.work`. Our consumer runs as its command at its defaults, with its inbox on
MariaDB and status events on. In each round each contestant runs alone on a vhost, a database and a sink of its own. The
time runs from the mail that ends the first tenth to the last mail, so that no start is measured. Bounds are checked
against the median of the rounds' ratios. One more contestant is our consumer with `email/2`: text and 5 KB of HTML in
each mail.

Two rules, the same for every contestant, keep the turns apart. A contestant starts only when RabbitMQ, MariaDB and the
sink together have used at most 5 % of a core for a second, so that no work is left from publishing or from the turn
before. A turn that begins without this, after 60 s of waiting, is named. The order changes from round to round: in five
rounds each of the five contestants is at each place once, and does not always follow the same other one. Run a multiple
of five rounds for this.

    make bench-consumer [ARGS="--json --rounds 5 --mails 3000 --long"]

`--long`: 100,000 mails through one consumer, whose memory must not grow with the number of mails. Exit status 1: a
bound is broken.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import aiormq
from pamqp import commands

from benchmarks.cpu_time import cpu_seconds
from mailpact.amqp.topology import declare_all
from mailpact.contracts import catalogue
from tests.servers.database import Databases
from tests.servers.packages import NotAvailable
from tests.servers.rabbitmq import ManagedRabbitmq, Rabbitmq
from tests.servers.run_folder import PrivateProcess
from tests.servers.where import Servers

HERE = Path(__file__).parent
PEERS_PYTHON = HERE / ".venv" / "bin" / "python"
QUEUE = "email.work"
ROUNDS, MAILS, LONG_MAILS = 5, 3_000, 100_000
WARM = 10  # the first tenth of the mails is not measured
WINDOW, DOMAINS = 500, 50
PATIENCE_SECONDS = 600
IDLE_SHARE, IDLE_SECONDS = 0.05, 1.0  # of one core, by all servers together
IDLE_PATIENCE_SECONDS = 60
MOST_GROWTH_MIB = 16.0
BOUNDS = {"seed": 2.0, "reusing": 1.0, "faststream": 4.0}
HTML = "html"  # our consumer, with messages of email/2
LEAST_OF_EMAIL_1 = 0.7
MOST_CPU_MS = 0.6


@dataclass(frozen=True, slots=True)
class Turn:
    """One contestant's run in one round."""

    contestant: str
    mails_per_second: float
    cpu_ms_per_mail: float

    def __str__(self) -> str:
        return f"{self.contestant} {self.mails_per_second:,.0f}/s ({self.cpu_ms_per_mail:.2f} ms)"


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of all rounds."""

    turns: list[list[Turn]]
    warm_mib: float | None = None
    end_mib: float | None = None

    def ratio(self, peer: str) -> float:
        """Return the median over the rounds of our speed divided by the peer's."""
        return statistics.median(_speed(turns, "mailpact") / _speed(turns, peer) for turns in self.turns)

    @property
    def html_ratio(self) -> float:
        """Return the median of our speed with `email/2` divided by that with `email/1`."""
        return statistics.median(_speed(turns, HTML) / _speed(turns, "mailpact") for turns in self.turns)

    @property
    def cpu_ms(self) -> float:
        """Return the median of our CPU time for a mail, in milliseconds."""
        return statistics.median(
            turn.cpu_ms_per_mail for turns in self.turns for turn in turns if turn.contestant == "mailpact"
        )

    @property
    def broken(self) -> list[str]:
        """Return the bounds that do not hold."""
        broken = []
        if self.turns:
            broken += [
                f"{self.ratio(peer):.2f}x {peer}, not {least}x"
                for peer, least in BOUNDS.items()
                if self.ratio(peer) < least
            ]
            if self.html_ratio < LEAST_OF_EMAIL_1:
                broken.append(
                    f"email/2 has {self.html_ratio:.2f}x the speed of email/1, not {LEAST_OF_EMAIL_1}x"
                )
            if self.cpu_ms > MOST_CPU_MS:
                broken.append(f"{self.cpu_ms:.2f} ms of CPU a mail, not {MOST_CPU_MS}")
        if self.warm_mib is not None and self.end_mib is not None:
            grown = self.end_mib - self.warm_mib
            if grown > MOST_GROWTH_MIB:
                broken.append(f"memory grows by {grown:.1f} MiB, not at most {MOST_GROWTH_MIB}")
        return broken

    def as_text(self) -> str:
        """Return the figures for a person."""
        lines = [
            f"round {number}: " + ", ".join(str(turn) for turn in turns)
            for number, turns in enumerate(self.turns, 1)
        ]
        if self.turns:
            ratios = ", ".join(
                f"{self.ratio(peer):.2f}x {peer} (>= {least})" for peer, least in BOUNDS.items()
            )
            lines.append(f"email/2, text and HTML: {self.html_ratio:.2f}x email/1 (>= {LEAST_OF_EMAIL_1})")
            lines.append(f"medians: {ratios}; {self.cpu_ms:.2f} ms of CPU a mail (<= {MOST_CPU_MS})")
        if self.warm_mib is not None:
            lines.append(f"memory: {self.warm_mib:.1f} MiB after a tenth, {self.end_mib:.1f} MiB at the end")
        return "\n".join(lines)


def _speed(turns: Sequence[Turn], contestant: str) -> float:
    return next(turn.mails_per_second for turn in turns if turn.contestant == contestant)


class Sink:
    """Postfix's smtp-sink, which counts the mails that it takes."""

    def __init__(self, servers: Servers) -> None:
        try:
            program = servers.program("smtp_sink")
        except NotAvailable as error:
            raise SystemExit(str(error)) from error
        self.port = servers.run.reserve_port()
        words = [str(program.path), "-u", "nobody", "-c", f"127.0.0.1:{self.port}", "500"]
        self._process = PrivateProcess(servers.run, "sink").begin(words, program.environment)

    def mails(self) -> int:
        """Return how many mails the sink has taken."""
        with self._process.log_file.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 400))
            counts = file.read().decode().split("\r")
        return next(
            (int(line.rpartition("mesg=")[2]) for line in reversed(counts[:-1]) if "mesg=" in line), 0
        )

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    def stop(self) -> None:
        """Stop the sink."""
        self._process.kill()


@dataclass(frozen=True, slots=True)
class Stage:
    """A vhost with waiting messages, an empty database and a sink."""

    amqp_url: str
    database_url: str
    sink: Sink

    def words(self, contestant: str) -> list[str]:
        """Return the command line of a contestant."""
        port = str(self.sink.port)
        peer = [
            str(PEERS_PYTHON),
            str(HERE / "peers" / f"{contestant}_worker.py"),
            self.amqp_url,
            QUEUE,
            port,
        ]
        match contestant:
            case "mailpact" | "html":
                return [
                    *(sys.executable, "-m", "mailpact_cli", "consumer", "--amqp-url", self.amqp_url),
                    *("--smtp-url", f"smtp://127.0.0.1:{port}", "--inbox-url", self.database_url),
                    *("--mail-from", "cms@mail.example"),
                ]
            case "reusing":
                return [*peer[:1], str(HERE / "peers" / "seed_worker.py"), *peer[2:], "--reuse"]
            case _:
                return peer


@contextmanager
def staged(servers: Servers, name: str, mails: int, *, is_html: bool = False) -> Iterator[Stage]:
    """Yield a stage with a vhost with messages, a database and a sink, and remove them afterwards."""
    try:
        broker, databases = servers.rabbitmq, servers.mariadb
    except NotAvailable as error:
        raise SystemExit(str(error)) from error
    broker.add_vhost(name)
    databases.create(name)
    sink = Sink(servers)
    try:
        asyncio.run(publish(broker.url(name), mails, is_html=is_html))
        pids = [server.pid for server in (broker, databases) if isinstance(server, PrivateProcess)]
        wait_until_idle(name, [*pids, sink.pid])
        yield Stage(broker.url(name), databases.url(name), sink)
    finally:
        sink.stop()
        _clean_up(broker, databases, name)


def wait_until_idle(name: str, pids: Sequence[int]) -> None:
    """Wait until the servers have done nearly nothing for a second; report on stderr if they never were idle."""
    deadline = time.perf_counter() + IDLE_PATIENCE_SECONDS
    while time.perf_counter() < deadline:
        began, used = time.perf_counter(), sum(map(cpu_seconds, pids))
        time.sleep(IDLE_SECONDS)
        share = (sum(map(cpu_seconds, pids)) - used) / (time.perf_counter() - began)
        if share <= IDLE_SHARE:
            return
    print(f"{name} begins while the servers use {share:.0%} of a core", file=sys.stderr, flush=True)


def in_order(contestants: Sequence[str], number: int) -> list[str]:
    """Return the order of the contestants in a round.

    The first order takes names alternately from both ends: A B E C D. Each further round moves every name on by one.
    """
    count = len(contestants)
    ends = [(place + 1) // 2 * (1 if place % 2 else -1) for place in range(count)]
    return [contestants[(end + number) % count] for end in ends]


def _clean_up(broker: Rabbitmq | ManagedRabbitmq, databases: Databases, name: str) -> None:
    broker.delete_vhost(name)
    databases.drop(name)


async def publish(amqp_url: str, mails: int, *, is_html: bool) -> None:
    """Declare our topology and publish that many messages of `email/2` or `email/1` into the work queue."""
    connection = await aiormq.connect(amqp_url)
    await declare_all(connection, topology=catalogue.load().topology.declared_by("consumer"))
    channel = await connection.channel()
    for start in range(0, mails, WINDOW):
        await asyncio.gather(
            *(
                _publish_one(channel, number, is_html=is_html)
                for number in range(start, min(start + WINDOW, mails))
            )
        )
    await connection.close()


async def _publish_one(channel: aiormq.abc.AbstractChannel, number: int, *, is_html: bool) -> None:
    address, text = f"reader-{number}@domain-{number % DOMAINS}.example", f"Welcome, reader {number}!"
    body: dict[str, object] = {"email": address, "message": text}
    if is_html:
        html = f"<!doctype html><html><body>{f'<p>{text}</p>' * (5_000 // (len(text) + 7))}</body></html>"
        body = {"to": [{"address": address, "name": "Zoë"}], "subject": text, "text": text, "html": html}
    await channel.basic_publish(
        json.dumps(body).encode(),
        exchange="email",
        properties=commands.Basic.Properties(
            message_id=f"00000000-0000-4000-8000-{number:012x}",
            content_type="application/json",
            message_type="email.v2" if is_html else "email.v1",
            delivery_mode=2,
        ),
        mandatory=True,
    )


class Contestant:
    """A contestant's process."""

    def __init__(self, servers: Servers, stage: Stage, name: str) -> None:
        self._name, self._stage = name, stage
        process = PrivateProcess(servers.run, name)
        self._process = process.begin(stage.words(name), {"PYTHONPATH": ""})

    def wait_for(self, mails: int) -> tuple[float, float]:
        """Wait for that many mails in the sink; return the time of the last mail, and the CPU seconds used so far."""
        deadline = time.perf_counter() + PATIENCE_SECONDS
        while self._stage.sink.mails() < mails:
            if not self._process.is_running or time.perf_counter() > deadline:
                raise SystemExit(
                    f"only {self._stage.sink.mails()} mails came:\n{self._process.log()[-2000:]}"
                )
            time.sleep(0.005)
        return time.perf_counter(), cpu_seconds(self._process.pid)

    def turn(self, mails: int) -> Turn:
        """Measure from the first tenth of the mails to the last mail, and stop the process."""
        try:
            began, cpu_began = self.wait_for(mails // WARM)
            ended, cpu_ended = self.wait_for(mails)
        finally:
            self.stop()
        measured = mails - mails // WARM
        return Turn(self._name, measured / (ended - began), (cpu_ended - cpu_began) * 1000 / measured)

    def resident_mib(self) -> float:
        """Return the resident memory of the process in MiB."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def stop(self) -> None:
        """Stop the process in the orderly way."""
        self._process.stop()


def take_turn(servers: Servers, name: str, contestant: str, mails: int) -> Turn:
    """Run one contestant until it has sent its mails, and return its turn."""
    with staged(servers, name, mails, is_html=contestant == HTML) as stage:
        return Contestant(servers, stage, contestant).turn(mails)


def memory(servers: Servers, mails: int) -> tuple[float, float]:
    """Return our memory in MiB after a tenth of the mails and after all mails."""
    with staged(servers, "memory", mails) as stage:
        running = Contestant(servers, stage, "mailpact")
        try:
            running.wait_for(mails // WARM)
            warm = running.resident_mib()
            running.wait_for(mails)
            return warm, running.resident_mib()
        finally:
            running.stop()


def main() -> int:
    """Measure, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--mails", type=int, default=MAILS, help="for each contestant in a round")
    parser.add_argument(
        "--only", nargs="+", choices=["mailpact", HTML, *BOUNDS], help="these contestants, without ratios"
    )
    parser.add_argument(
        "--long", action="store_true", help=f"{LONG_MAILS:,} mails through ours: is memory flat?"
    )
    chosen = parser.parse_args()
    contestants = chosen.only or ["mailpact", HTML, *BOUNDS]
    servers = Servers()
    try:
        turns = []
        for number in range(chosen.rounds):
            order = in_order(contestants, number)
            turns.append(
                [take_turn(servers, f"r{number}-{c}".replace("-", "_"), c, chosen.mails) for c in order]
            )
            print(
                Figures(turns[-1:]).as_text() if not chosen.only else turns[-1], file=sys.stderr, flush=True
            )
        warm, end = memory(servers, LONG_MAILS) if chosen.long else (None, None)
    finally:
        servers.close()
    if chosen.only:
        return 0
    figures = Figures(turns, warm, end)
    if chosen.json:
        print(json.dumps(asdict(figures) | {"broken": figures.broken}))
    else:
        print(figures.as_text(), *figures.broken, sep="\n")
    return 1 if figures.broken else 0


if __name__ == "__main__":
    sys.exit(main())
