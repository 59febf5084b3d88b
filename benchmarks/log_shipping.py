"""Measure what shipping log records costs the consumer, alternating in one run, on RabbitMQ, MariaDB and smtp-sink.

In each round the consumer runs alone with `--local-logs`, with shipping, with shipping into a queue that 100,000
records have filled (its policy drops the oldest), and with a user who may not publish to the exchange `logs`. A number
holds by the median of the rounds' ratios.

    python -m benchmarks.log_shipping [--rounds 3 --mails 3000]

Exit status 1: with shipping the consumer is slower than 0.9x.
"""

import argparse
import asyncio
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import aiormq

from benchmarks.consumer_speed import Contestant, Stage, Turn, staged
from mailpact.amqp.topology import declare_all
from mailpact.contracts import catalogue
from mailpact_cli.log_shipping import Encoder
from tests.servers.rabbitmq import Rabbitmq
from tests.servers.where import NotAvailable, Servers

ROUNDS, MAILS = 3, 3_000
RECORDS = 100_000
LEAST = 0.9
MODES = ("local", "shipping", "saturated", "refused")


@dataclass(frozen=True, slots=True)
class ModeStage(Stage):
    """A stage on which our consumer runs in one mode."""

    def words(self, contestant: str) -> list[str]:
        """Return the command line of a mode."""
        words = Stage.words(self, "mailpact")
        return [*words, "--local-logs"] if contestant == "local" else words


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


def take_turn(servers: Servers, broker: Rabbitmq, name: str, mode: str, mails: int) -> Turn:
    """Let the consumer send its mails in one mode."""
    with staged(servers, name, mails) as whole:
        stage = ModeStage(whole.amqp_url, whole.database_url, whole.sink)
        broker.set_policy(
            name,
            name="mailpact-logs",
            queues="^logs",
            definition=f'{{<<"max-length">>, {RECORDS}}}, {{<<"overflow">>, <<"drop-head">>}}',
        )
        asyncio.run(prepare(stage.amqp_url, RECORDS if mode == "saturated" else 0))
        if mode == "refused":
            stage = replace(stage, amqp_url=limited_user(broker, name))
        return Contestant(servers, stage, mode).turn(mails)


def limited_user(broker: Rabbitmq, vhost: str) -> str:
    """Make a user who may do everything but publish log records; return the URL with this user."""
    user = f"limited-{vhost}"
    broker.call(f'ok = rabbit_auth_backend_internal:add_user(<<"{user}">>, <<"secret">>, <<"test">>)')
    broker.call(
        f'ok = rabbit_auth_backend_internal:set_permissions(<<"{user}">>, <<"{vhost}">>, '
        '<<"^(?!logs).*$">>, <<"^(?!logs).*$">>, <<".*">>, <<"test">>)'
    )
    return f"amqp://{user}:secret@127.0.0.1:{broker.port}/{vhost}"


def as_text(rounds: Sequence[Sequence[Turn]]) -> tuple[str, bool]:
    """Return the figures for a person, and whether the bound holds."""
    lines = [", ".join(str(turn) for turn in turns) for turns in rounds]
    ratios = {
        mode: statistics.median(
            turns[number].mails_per_second / turns[0].mails_per_second for turns in rounds
        )
        for number, mode in enumerate(MODES)
    }
    lines.append(
        "medians: " + ", ".join(f"{mode} {ratio:.2f}x" for mode, ratio in ratios.items() if mode != "local")
    )
    return "\n".join(lines), min(ratios.values()) >= LEAST


def main() -> int:
    """Measure, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--mails", type=int, default=MAILS, help="in each mode and round")
    chosen = parser.parse_args()
    servers = Servers(lambda text: print(text, file=sys.stderr))
    try:
        broker = servers.rabbitmq
        if isinstance(broker, NotAvailable) or not isinstance(broker, Rabbitmq):
            raise SystemExit("a RabbitMQ of our own is needed")
        rounds = []
        for number in range(chosen.rounds):
            turns = {
                mode: take_turn(servers, broker, f"r{number}_{mode}", mode, chosen.mails)
                for mode in (MODES if number % 2 == 0 else MODES[::-1])
            }
            rounds.append([turns[mode] for mode in MODES])
    finally:
        servers.close()
    text, holds = as_text(rounds)
    print(text)
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
