"""Log records of services arrive in `logs.all`, never delay the service, and are counted when they are lost."""

import asyncio
import json
import re
import signal
import socket
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

import aiormq
import pytest
import structlog

from mailpact.contracts import catalogue
from mailpact.contracts.validate import Validator
from mailpact_cli import log_shipping
from mailpact_cli.log_shipping import BUFFERED_RECORDS
from mailpact_devbroker.service import running as devbroker_running
from tests.integration.logs.conftest import PATIENCE_SECONDS, Broker, line, started, until
from tests.timing import at_most

pytestmark = pytest.mark.timeout(180)  # the machine may be busy, and commands start
CONTRACT = catalogue.load().contract("log/1")


async def test_a_shipped_record_obeys_the_contract_and_its_binding(broker: Broker) -> None:
    await broker.ship("shop", line("connected", level="warning", service="shop"))

    (taken,) = await broker.take(1)
    properties = taken.header.properties
    assert (taken.exchange, taken.routing_key) == ("logs", "warning")
    assert (properties.content_type, properties.message_type) == ("application/json", "log.v1")
    assert properties.app_id == "shop"
    assert abs(properties.timestamp.timestamp() - time.time()) < 60
    assert Validator(CONTRACT.writer_schema).check(json.loads(taken.body)) is None


async def test_a_large_record_and_many_small_ones_arrive_in_order(broker: Broker) -> None:
    texts = ["x" * 65_000, *(str(number) for number in range(2_500))]

    await broker.ship("shop", *(("info", text) for text in texts))

    assert [taken.body.decode() for taken in await broker.take(2_501)] == texts


async def test_shipping_makes_the_exchange_and_works_without_a_queue(amqp_url: str) -> None:
    await Broker(amqp_url).ship("shop", line("a"), line("b"))

    async with aiormq.connect(amqp_url) as connection:
        channel = await connection.channel()
        await channel.exchange_declare("logs", exchange_type="topic", durable=True, passive=True)


async def test_records_are_shipped_again_after_the_exchange_was_deleted(broker: Broker) -> None:
    shipper = broker.shipper("shop")
    shipper.take(*line("before"))
    async with shipper.shipping():
        await until(lambda: shipper.shipped == 1)
        async with aiormq.connect(broker.url) as connection:
            await (await connection.channel()).exchange_delete("logs")
        shipper.take(*line("lost"))
        await until(lambda: shipper.buffer.lost == 1)
        shipper.take(*line("after"))
        await until(lambda: shipper.shipped == 2)

    assert [json.loads(taken.body)["event"] for taken in await broker.take(1)] == ["before"]


async def test_a_broker_that_is_away_costs_bounded_memory_and_no_time() -> None:
    with socket.create_server(
        ("127.0.0.1", 0)
    ) as listener:  # a broker that accepts connections and never answers
        shipper = Broker(f"amqp://127.0.0.1:{listener.getsockname()[1]}").shipper("shop")
        began = time.process_time()
        async with shipper.shipping():
            for number in range(100_000):
                shipper.take("info", f'{{"number": {number}}}')
            took = time.process_time() - began
            stopping_at = time.monotonic()
        stopped = time.monotonic() - stopping_at

    assert (len(shipper.buffer), shipper.buffer.lost) == (BUFFERED_RECORDS, 100_000 - BUFFERED_RECORDS)
    assert took < at_most(2)
    assert (
        stopped < 10
    )  # half a second for the records, one second for closing, and reserve for a busy machine


async def test_a_broker_that_comes_back_gets_the_records_and_the_number_of_those_lost() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    listener.close()
    broker = Broker(f"amqp://127.0.0.1:{address[1]}")
    shipper = broker.shipper("shop")
    for number in range(BUFFERED_RECORDS + 7):
        shipper.take("info", f'{{"number": {number}}}')
    with structlog.testing.capture_logs() as logged:
        async with shipper.shipping():
            await until(lambda: any("cannot connect" in entry["event"] for entry in logged))
            async with devbroker_running(socket.create_server(address), journal=None):
                await until(lambda: shipper.shipped == BUFFERED_RECORDS)

    assert ("log records were not shipped", 7) in [(entry["event"], entry.get("count")) for entry in logged]
    assert [metric.samples[0].value for metric in shipper.collect()] == [BUFFERED_RECORDS, 7]


async def test_a_bug_in_shipping_ends_nothing_but_shipping(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipper = broker.shipper("shop")
    monkeypatch.setattr(shipper, "_report_lost", lambda: 1 / 0)
    shipper.take(*line("a"))
    with structlog.testing.capture_logs() as logged:
        async with shipper.shipping():
            await until(lambda: any(entry["log_level"] == "error" for entry in logged))
            shipper.take(*line("b"))

    assert [entry["kind"] for entry in logged if entry["log_level"] == "error"] == ["ZeroDivisionError"]


async def port_of_health(err: Path) -> str:
    """Return the port of a service's health page, as its log names it."""
    found: list[str] = []
    await until(
        lambda: bool(found.extend(re.findall(r"health on (http://[^/]+)/", err.read_text())) or found)
    )
    return found[0]


async def counted(health: str) -> tuple[float, float]:
    """Return how many records a service counts as shipped, and how many as lost."""
    metrics = (await asyncio.to_thread(urlopen, f"{health}/metrics")).read().decode()
    counts = dict(re.findall(r"^\w*log_records_(shipped|lost)_total (\S+)$", metrics, re.MULTILINE))
    return float(counts["shipped"]), float(counts["lost"])


async def test_a_service_ships_from_its_first_line_to_its_last_and_counts(
    broker: Broker, tmp_path: Path
) -> None:
    def lines() -> list[str]:
        return (tmp_path / "err").read_text().splitlines()

    words = ("producer", "--listen", "127.0.0.1:0", "--health", "127.0.0.1:0")
    async with started(*words, cwd=tmp_path, MAILPACT_AMQP_URL=broker.url) as process:
        health = await port_of_health(tmp_path / "err")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await counted(health) != (
                len(lines()),
                0,
            ):  # parts of the service still log that they have started
                await asyncio.sleep(0.02)
        before = len(lines())
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0

    assert json.loads(lines()[-1])["event"] == "site stopped"
    # A busy machine may not ship the last lines within the half second that a service waits at its end.
    records = [json.loads(each.body) for each in await broker.take(await broker.waiting())]
    assert records == [json.loads(text) for text in lines()][: len(records)]
    assert len(records) >= before
    assert {record["service"] for record in records} == {"producer"}


async def test_what_is_left_at_the_end_is_shipped(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_shipping, "STOP_SECONDS", PATIENCE_SECONDS)
    shipper = broker.shipper("shop")
    shipper.take(*line("first"))
    async with shipper.shipping():
        await until(lambda: shipper.shipped == 1)
        shipper.take(*line("last"))

    assert (shipper.shipped, shipper.buffer.lost) == (2, 0)
    assert [json.loads(taken.body)["event"] for taken in await broker.take(2)] == ["first", "last"]


async def test_the_capture_server_ships_its_records_where_it_is_told_of_a_broker(
    broker: Broker, tmp_path: Path
) -> None:
    def lines() -> list[str]:
        return (tmp_path / "err").read_text().splitlines()

    words = ("capture", "--smtp", "127.0.0.1:0", "--http", "127.0.0.1:0")
    async with started(*words, cwd=tmp_path, MAILPACT_AMQP_URL=broker.url) as process:
        await until(lambda: any("consuming has begun" in text for text in lines()))
        records = [json.loads(each.body) for each in await broker.take(len(lines()))]
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0

    assert records == [json.loads(text) for text in lines()]
    assert {record["service"] for record in records} == {"capture"}


async def test_all_components_in_one_process_ship_each_under_its_own_name(
    broker: Broker, tmp_path: Path
) -> None:
    ports = [word for name in ("cms", "viewer", "smtp") for word in (f"--{name}-listen", "127.0.0.1:0")]
    async with started("up", *ports, cwd=tmp_path, MAILPACT_AMQP_URL=broker.url) as process:
        await until(lambda: "Ctrl-C stops it." in (tmp_path / "err").read_text())
        async with aiormq.connect(broker.url) as connection:
            channel = await connection.channel()
            await channel.basic_publish(b"rubbish", exchange="email", routing_key="email")
        services: dict[str, str] = {}
        while "message dead-lettered" not in services:
            (taken,) = await broker.take(1)
            record = json.loads(taken.body)
            services[record["event"]] = record["service"]
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0

    assert services["message dead-lettered"] == "consumer"


async def test_workers_ship_their_own_records_and_nobody_elses(broker: Broker, tmp_path: Path) -> None:
    def lines() -> list[str]:
        return (tmp_path / "err").read_text().splitlines()

    words = ("consumer", "--workers", "2", "--inbox-url", "sqlite:///inbox.db")
    async with started(*words, cwd=tmp_path, MAILPACT_AMQP_URL=broker.url) as process:
        shipped: list[str] = []
        while sum("consuming from" in text for text in shipped) < 2:
            shipped += [each.body.decode() for each in await broker.take(1)]
        process.send_signal(signal.SIGTERM)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), 50)

    assert process.returncode == 0
    shipped += [each.body.decode() for each in await broker.take(await broker.waiting())]
    assert Counter(shipped) <= Counter(lines()), "each record at most once, and no other"


async def test_local_logs_are_not_shipped(broker: Broker, tmp_path: Path) -> None:
    words = ("producer", "--listen", "127.0.0.1:0", "--health", "127.0.0.1:0", "--local-logs")
    async with started(*words, cwd=tmp_path, MAILPACT_AMQP_URL=broker.url) as process:
        await port_of_health(tmp_path / "err")
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0

    assert await broker.waiting() == 0
    assert json.loads((tmp_path / "err").read_text().splitlines()[0])["service"] == "producer"
