"""Measure what shipping log records costs consumer and site, in turns in one run, on RabbitMQ and MariaDB.

In each round the service runs alone in four modes: with `--local-logs`; with shipping; with a user who may not publish
to the exchange `logs`; and with shipping into a queue that 100,000 records have filled (its policy drops the oldest).
These records are published before the service starts. A full queue also costs the broker and the machine time, so the
last mode is compared with a run with `--local-logs` beside a queue that was filled the same way. The consumer sends the
waiting mails to smtp-sink; the site answers as many registrations as it can. Bounds are checked against the median of
the rounds' ratios.

    python -m benchmarks.log_shipping [consumer | site] [--rounds 3 --mails 3000 --seconds 6]

Exit status 1: with shipping the service is slower than 0.9x.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path

import aiormq

from benchmarks.consumer_speed import Contestant, Stage, Turn, staged
from benchmarks.site_speed import CLIENTS_PER_CPU, Browser, own_cpu_seconds, program, with_browser
from mailpact.amqp.topology import declare_all
from mailpact.contracts import catalogue
from mailpact_cli.log_shipping import Encoder
from mailpact_producer.passwords import usable_cpus
from tests.servers.packages import NotAvailable
from tests.servers.rabbitmq import Rabbitmq
from tests.servers.where import Servers

ROUNDS, MAILS, SECONDS = 3, 3_000, 6.0
RECORDS = 100_000
LEAST = 0.9
REFERENCES = {"shipping": "local", "refused": "local", "saturated": "local_filled"}
MODES = ("local", "shipping", "refused", "saturated", "local_filled")
FILLED = ("saturated", "local_filled")


@dataclass(frozen=True, slots=True)
class ModeStage(Stage):
    """A stage on which our consumer runs in one mode."""

    def words(self, contestant: str) -> list[str]:
        """Return the command line of the consumer in a mode."""
        words = Stage.words(self, "mailpact")
        return [*words, *local_logs(contestant)]


def local_logs(mode: str) -> list[str]:
    """Return the option that switches shipping off, if it is off in this mode."""
    return ["--local-logs"] if mode in REFERENCES.values() else []


async def prepare(amqp_url: str, records: int) -> None:
    """Declare everything, and publish that many records."""
    connection = await aiormq.connect(amqp_url)
    await declare_all(connection, topology=catalogue.load().topology)
    channel = await connection.channel(publisher_confirms=False)
    encoder = Encoder("logs", "benchmark")
    text = '{"timestamp": "2026-11-24T09:00:00Z", "level": "info", "event": "connected", "more": "%s"}' % (
        "x" * 100
    )
    for _ in range(records // 1_000):
        payload = encoder.frames(("info", text, 0), channel.number) * 1_000
        await connection.write_queue.put(aiormq.abc.ChannelFrame(payload=payload, should_close=False))
        await channel.basic_qos(prefetch_count=1)
    await connection.close()


@contextmanager
def prepared(servers: Servers, broker: Rabbitmq, name: str, mode: str, mails: int) -> Iterator[ModeStage]:
    """Yield the stage for a service in one mode."""
    with staged(servers, name, mails) as whole:
        stage = ModeStage(whole.amqp_url, whole.database_url, whole.sink)
        broker.set_policy(
            name,
            name="mailpact-logs",
            queues="^logs",
            definition=f'{{<<"max-length">>, {RECORDS}}}, {{<<"overflow">>, <<"drop-head">>}}',
        )
        asyncio.run(prepare(stage.amqp_url, RECORDS if mode in FILLED else 0))
        if mode == "refused":
            stage = replace(stage, amqp_url=limited_user(broker, name))
        yield stage


def mail(servers: Servers, stage: ModeStage, mode: str, mails: int) -> Turn:
    """Let the consumer send its mails, and return its turn."""
    return Contestant(servers, stage, mode).turn(mails)


def register(stage: ModeStage, mode: str, seconds: float) -> Turn:
    """Let readers register at the site, enough at once to keep the site busy; return the turn, in registrations."""
    words = ["producer", "--listen", "127.0.0.1:0", "--mail-limit-network", "0", "--amqp-url", stage.amqp_url]
    words += ["--database-url", stage.database_url, *local_logs(mode)]
    done: list[float] = []

    async def measure(browser: Browser) -> None:
        ends = time.monotonic() + seconds

        async def one_after_the_other() -> None:
            while time.monotonic() < ends:
                done.append((await browser.register())[1])

        await asyncio.gather(*(one_after_the_other() for _ in range(CLIENTS_PER_CPU * usable_cpus())))

    with (
        tempfile.TemporaryDirectory() as folder,
        program(Path(folder), r"site on http://127\.0\.0\.1:(\d+)", *words) as (pid, (port,)),
    ):
        before, began = own_cpu_seconds(pid), time.monotonic()
        asyncio.run(with_browser(f"http://127.0.0.1:{port}", measure))
        took, cpu = time.monotonic() - began, own_cpu_seconds(pid) - before
    return Turn(mode, len(done) / took, cpu * 1000 / len(done))


def limited_user(broker: Rabbitmq, vhost: str) -> str:
    """Make a user who may do everything but publish log records; return the URL with this user."""
    user = f"limited-{vhost}"
    broker.add_user(user, "secret", vhost)
    broker.call(
        f'ok = rabbit_auth_backend_internal:set_permissions(<<"{user}">>, <<"{vhost}">>, '
        '<<"^(?!logs).*$">>, <<"^(?!logs).*$">>, <<".*">>, <<"test">>)'
    )
    return f"amqp://{user}:secret@127.0.0.1:{broker.port}/{vhost}"


def as_text(rounds: Sequence[Mapping[str, Turn]]) -> tuple[str, bool]:
    """Return the figures for a person, and whether the bound holds."""
    lines = [", ".join(str(turns[mode]) for mode in MODES) for turns in rounds]
    speeds, costs = (
        {
            mode: statistics.median(measure(turns[mode]) / measure(turns[reference]) for turns in rounds)
            for mode, reference in REFERENCES.items()
        }
        for measure in (attrgetter("mails_per_second"), attrgetter("cpu_ms_per_mail"))
    )
    medians = (f"{mode} {speeds[mode]:.2f}x with {costs[mode]:.2f}x the CPU time" for mode in REFERENCES)
    lines.append("medians: " + ", ".join(medians))
    return "\n".join(lines), min(speeds.values()) >= LEAST


def main() -> int:
    """Measure, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("service", nargs="?", choices=("consumer", "site"), default="consumer")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--mails", type=int, default=MAILS, help="of the consumer, in each mode and round")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of the site, in each mode and round")
    chosen = parser.parse_args()
    servers = Servers()
    try:
        broker = servers.rabbitmq
        if not isinstance(broker, Rabbitmq):
            raise SystemExit("a RabbitMQ of our own is needed")
        rounds: list[dict[str, Turn]] = []
        for number in range(chosen.rounds):
            turns: dict[str, Turn] = {}
            for mode in MODES if number % 2 == 0 else MODES[::-1]:
                mails = chosen.mails if chosen.service == "consumer" else 0
                with prepared(servers, broker, f"r{number}_{mode}", mode, mails) as stage:
                    turns[mode] = (
                        mail(servers, stage, mode, mails) if mails else register(stage, mode, chosen.seconds)
                    )
            rounds.append(turns)
    except NotAvailable as error:
        raise SystemExit(str(error)) from error
    finally:
        servers.close()
    text, holds = as_text(rounds)
    print(text)
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
