"""Measure the consumer's SMTP client beside aiosmtplib, in turns in one run, against Postfix's smtp-sink.

Both send the same mail over the same number of connections that stay open, on uvloop, each in a process of its own. Our
client uses the whole pool (`MailServer.transaction`), with its places and its limit of 100 mails a connection.

    make bench-smtp-client [ARGS="--json"]

Exit status 1: our client takes more CPU time for a mail than aiosmtplib, by the median of the rounds' ratios.
"""

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import time

from benchmarks.consumer_speed import HERE, PEERS_PYTHON, Sink
from mailpact_consumer.deliver import MailServer, Transaction
from mailpact_consumer.reply import Accepted
from mailpact_consumer.settings import SmtpTls
from mailpact_consumer.smtp_session import Server, tls_context
from mailpact_consumer.smtp_url import SmtpUrl
from tests.servers.where import Servers

ROUNDS, MAILS, CONNECTIONS = 5, 8_000, 8
MAIL = b"From: a@b.example\r\nTo: c@d.example\r\nSubject: Hello\r\n\r\n" + b"Some words of a mail.\r\n" * 10


async def _send(server: MailServer, mails: int) -> None:
    for _ in range(mails):
        async with server.transaction("c@d.example") as transaction:
            assert isinstance(transaction, Transaction)  # noqa: S101  # the sink is running
            assert await transaction.envelope("a@b.example", "c@d.example") is None  # noqa: S101  # it accepts all
            assert isinstance(await transaction.data(MAIL), Accepted)  # noqa: S101  # the sink accepts every mail


async def send_all(port: int, mails: int, connections: int) -> None:
    """Send all mails, and print the figures."""
    url = Server(SmtpUrl("127.0.0.1", port), SmtpTls.OFF, tls_context(None), "client.example")
    server = MailServer(url, connections=connections, rate=None, monotonic=time.monotonic)
    began, cpu_began = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    await asyncio.gather(*(_send(server, mails // connections) for _ in range(connections)))
    ended, cpu_ended = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    await server.close()
    cpu = cpu_ended.ru_utime + cpu_ended.ru_stime - cpu_began.ru_utime - cpu_began.ru_stime
    print(json.dumps({"mails_per_second": mails / (ended - began), "cpu_ms": cpu * 1000 / mails}))


def measure(words: list[str], port: int) -> dict[str, float]:
    """Run one sender, and return the figures that it printed."""
    done = subprocess.run(  # noqa: S603  # fixed words
        [*words, str(port), str(MAILS), str(CONNECTIONS)], capture_output=True, check=True, text=True
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def main() -> int:
    """Measure, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args()
    ours = [sys.executable, "-m", "benchmarks.smtp_client", "--send"]
    theirs = [str(PEERS_PYTHON), str(HERE / "peers" / "aiosmtplib_sender.py")]
    servers = Servers()
    rounds = []
    try:
        sink = Sink(servers)
        for number in range(ROUNDS):
            pair = [(ours, "ours"), (theirs, "aiosmtplib")][:: 1 if number % 2 == 0 else -1]
            rounds.append({name: measure(words, sink.port) for words, name in pair})
    finally:
        servers.close()
    speed = statistics.median(
        r["ours"]["mails_per_second"] / r["aiosmtplib"]["mails_per_second"] for r in rounds
    )
    cpu = statistics.median(r["ours"]["cpu_ms"] / r["aiosmtplib"]["cpu_ms"] for r in rounds)
    if chosen.json:
        print(json.dumps({"rounds": rounds, "speed": speed, "cpu": cpu}))
    else:
        for number, one in enumerate(rounds, 1):
            told = [f"{name} {f['mails_per_second']:,.0f}/s, {f['cpu_ms']:.3f} ms" for name, f in one.items()]
            print(f"round {number}: " + "; ".join(sorted(told)))
        print(f"medians of ratios, ours to aiosmtplib: speed {speed:.2f}x, CPU a mail {cpu:.2f}x (<= 1)")
    return 1 if cpu > 1 else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--send"]:
        import uvloop

        uvloop.run(send_all(*map(int, sys.argv[2:])))
    else:
        sys.exit(main())
