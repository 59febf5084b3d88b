"""Ships the log records of a service to the exchange `logs`, so that `mailpact logs` shows those of all services.

Shipping can lose records by design. A record goes into a bounded buffer, and a task of the service's event loop
publishes the buffer four times a second, without confirms. While there are many records, the task pauses for longer,
because large batches take the broker less CPU time. After each batch the task sends a request on the same channel and
waits for the answer. The broker answers only after it has processed the whole batch, so one answer confirms the
batch, and a slow broker gets no second batch before. Records that do not fit into the buffer, and batches without an
answer, are counted as lost. The service never waits for the broker because of its log, and no error ends the service.
"""

import asyncio
import os
import struct
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NoReturn

import structlog
from aiormq.abc import AbstractChannel, AbstractConnection, ChannelFrame
from aiormq.exceptions import ChannelNotFoundEntity
from pamqp import commands, frame, header
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from mailpact.amqp.channels import RPC_SECONDS, open_channel
from mailpact.amqp.errors import BrokerLost, TopologyMismatch, talking
from mailpact.amqp.supervisor import Supervisor
from mailpact.amqp.topology import declare
from mailpact.contracts import catalogue
from mailpact.settings import AmqpUrl
from mailpact_cli.log_lines import write_lines_in_groups
from mailpact_cli.log_output import configure_logging

CONTRACT: Final = "log/1"
BUFFERED_RECORDS: Final = 10_000
BUFFERED_BYTES: Final = 8_000_000
EVERY_SECONDS: Final = 0.25
BUSY_EVERY_SECONDS: Final = 0.75
"""The pause after a batch of many records. A record of 200 bytes takes RabbitMQ 3.10 about 65 us of CPU time in batches
of 120, 55 us in batches of 350, and 47 us in batches of 1,000 (measured)."""
MANY_RECORDS: Final = 100
BATCH_RECORDS: Final = 1_000
BATCH_BYTES: Final = 1_000_000
REPORT_SECONDS: Final = 60.0
STOP_SECONDS: Final = 0.5

FRAME_HEADER: Final = struct.Struct(">BHI")
HEADER_FRAME, BODY_FRAME, FRAME_END = 2, 3, b"\xce"
SMALLEST_FRAME_MAX: Final = (
    4096 - 8
)  # what every AMQP peer takes: the least `frame_max`, without the frame's own bytes

Record = tuple[str, str, int]
"""The level, the JSON text, and when the record was made, in whole seconds since 1970."""

log = structlog.get_logger()


class Buffer:
    """The records that wait to be shipped; when it is full, the oldest are dropped and counted as lost."""

    def __init__(self, *, records: int = BUFFERED_RECORDS, size_bytes: int = BUFFERED_BYTES) -> None:
        self._most_records, self._most_bytes = records, size_bytes
        self._records: deque[Record] = deque()
        self._bytes = 0
        self.lost = 0

    def __len__(self) -> int:
        return len(self._records)

    def put(self, record: Record) -> None:
        """Add a record at the end."""
        self._records.append(record)
        self._bytes += len(record[1])
        while len(self._records) > self._most_records or self._bytes > self._most_bytes:
            self._pop()
            self.lost += 1

    def take(self, most: int) -> list[Record]:
        """Remove and return the oldest records: at most `most`, and a megabyte beside the last."""
        batch: list[Record] = []
        size = 0
        while self._records and len(batch) < most and size < BATCH_BYTES:
            batch.append(self._pop())
            size += len(batch[-1][1])
        return batch

    def clear(self) -> None:
        """Delete all records, without counting them as lost."""
        self._records.clear()
        self._bytes = 0

    def _pop(self) -> Record:
        record = self._records.popleft()
        self._bytes -= len(record[1])
        return record


def pause_after(shipped: int, *, left: int) -> float:
    """Return how many seconds to wait after a batch of `shipped` records, if `left` more records wait already."""
    return BUSY_EVERY_SECONDS if shipped >= MANY_RECORDS > left else EVERY_SECONDS


class LogShipper(Collector):
    """Ships the records of one process; a Prometheus collector of how many arrived and how many were lost."""

    def __init__(self, url: AmqpUrl, service: str) -> None:
        published = catalogue.load()
        exchange = published.contract(CONTRACT).wire.exchange
        self.buffer = Buffer()
        self._exchange = next(one for one in published.topology.exchanges if one.name == exchange)
        self._encoder = Encoder(exchange, service)
        self._supervisor = Supervisor(url, f"{service} logs")
        self._is_stopping = asyncio.Event()
        self._is_empty = asyncio.Event()
        self._is_connected = False
        self._reported_lost, self._reported_at = 0, float("-inf")
        self.shipped = 0

    def take(self, level: str, text: str) -> None:
        """Add a record in the form that `configure_logging` renders."""
        self.buffer.put((level, text, int(time.time())))

    def collect(self) -> Iterator[Metric]:
        """Yield the two numbers for Prometheus."""
        yield CounterMetricFamily(
            "log_records_shipped", "Log records that the broker accepted.", self.shipped
        )
        yield CounterMetricFamily(
            "log_records_lost", "Log records that were dropped, or may not have arrived.", self.buffer.lost
        )

    @asynccontextmanager
    async def shipping(self) -> AsyncIterator[None]:
        """Ship until the context ends; then wait at most half a second for the remaining records."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            self._is_stopping.set()
            if self._is_connected:
                emptied = asyncio.create_task(self._is_empty.wait())
                await asyncio.wait({emptied, task}, timeout=STOP_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                emptied.cancel()
            task.cancel()
            await asyncio.wait({task})

    async def _run(self) -> None:
        try:
            await self._supervisor.run(self._session)
        except Exception as error:  # noqa: BLE001  # a bug in shipping must not end the service
            log.error("log records are no longer published, which is a bug", kind=type(error).__name__)  # noqa: TRY400  # a trace may quote records

    async def _session(self, connection: AbstractConnection) -> NoReturn:
        try:
            await self._find_exchange(connection)
        except TopologyMismatch as error:  # another program declared the exchange at the same time
            raise BrokerLost(str(error)) from error
        channel = await open_channel(connection)
        self._supervisor.report_up()
        self._is_connected = True
        most = 1  # the broker reports a missing permission only after a publish, and the batch is lost
        pause_seconds = EVERY_SECONDS
        try:
            while True:
                await self._pause(pause_seconds)
                await connection.ready()
                batch = self.buffer.take(most)
                if batch:
                    await self._ship(batch, connection, channel)
                    most = BATCH_RECORDS
                    self._report_lost()
                pause_seconds = pause_after(len(batch), left=len(self.buffer))
                if self._is_stopping.is_set() and not self.buffer:
                    self._is_empty.set()
                    await asyncio.Event().wait()
        finally:
            self._is_connected = False

    async def _ship(
        self, batch: list[Record], connection: AbstractConnection, channel: AbstractChannel
    ) -> None:
        count = len(batch)
        try:
            # Not by `basic_publish`, which takes 100 us of CPU for each message; this takes 5.
            payload = b"".join(self._encoder.frames(record, channel.number) for record in batch)
            await connection.write_queue.put(ChannelFrame(payload=payload, should_close=False))
            # There is no time limit: a blocking broker answers late, and a dead connection ends the session.
            await channel.basic_qos(prefetch_count=1)
        except BaseException:  # also when cancelled
            self.buffer.lost += count
            raise
        self.shipped += count

    async def _pause(self, seconds: float) -> None:
        if not self._is_stopping.is_set():
            stopping = asyncio.ensure_future(self._is_stopping.wait())
            await asyncio.wait({stopping}, timeout=seconds)
            stopping.cancel()

    def _report_lost(self) -> None:
        lost, now = self.buffer.lost - self._reported_lost, time.monotonic()
        if lost and now - self._reported_at >= REPORT_SECONDS:
            self._reported_lost, self._reported_at = self.buffer.lost, now
            log.warning("log records were not shipped", count=lost)

    async def _find_exchange(self, connection: AbstractConnection) -> None:
        """Declare the exchange if it does not exist. The check first needs no permission to declare."""
        with talking():
            async with asyncio.timeout(2 * RPC_SECONDS):
                try:
                    await declare(connection, self._exchange, passive=True)
                except ChannelNotFoundEntity:
                    await declare(connection, self._exchange)


class Encoder:
    """Encodes records as AMQP frames: method, header and body of a `basic.publish`."""

    def __init__(self, exchange: str, service: str) -> None:
        self._service = service
        self._method = lru_cache(maxsize=16)(
            lambda level, channel: _marshalled_publish(exchange, level, channel)
        )
        self._properties = lru_cache(maxsize=4)(self._encoded_properties)

    def frames(self, record: Record, channel: int) -> bytes:
        """Return the frames of one record on the channel of this number."""
        level, text, at_seconds = record
        body = text.encode()
        content = b"\x00\x3c\x00\x00" + len(body).to_bytes(8) + self._properties(at_seconds)
        parts = [
            self._method(level, channel),
            FRAME_HEADER.pack(HEADER_FRAME, channel, len(content)),
            content,
            FRAME_END,
        ]
        for start in range(0, len(body), SMALLEST_FRAME_MAX):
            piece = body[start : start + SMALLEST_FRAME_MAX]
            parts += (FRAME_HEADER.pack(BODY_FRAME, channel, len(piece)), piece, FRAME_END)
        return b"".join(parts)

    def _encoded_properties(self, at_seconds: int) -> bytes:
        properties = commands.Basic.Properties(
            content_type="application/json",
            message_type="log.v1",
            timestamp=datetime.fromtimestamp(at_seconds, UTC),
            app_id=self._service,
        )
        return header.ContentHeader(properties=properties).marshal()[
            12:
        ]  # after class, weight and size of the body


def _marshalled_publish(exchange: str, level: str, channel: int) -> bytes:
    return frame.marshal(commands.Basic.Publish(exchange=exchange, routing_key=level), channel)


def configure_service_logging(
    service: str, url: AmqpUrl | None, *, verbose: bool = True
) -> LogShipper | None:
    """Send the log records of this process to stderr, and to a shipper if there is a URL; return the shipper.

    A process that is forked later inherits the records of its parent; the parent then deletes its own copies.
    """
    shipper = None if url is None else LogShipper(url, service)
    configure_logging(verbose=verbose, service=service, ship=shipper.take if shipper else None)
    write_lines_in_groups()
    if shipper is not None:
        os.register_at_fork(after_in_parent=shipper.buffer.clear)
    return shipper


@asynccontextmanager
async def shipping(shipper: LogShipper | None) -> AsyncIterator[tuple[Collector, ...]]:
    """Ship until the context ends, and yield the metrics collectors; do nothing without a shipper."""
    if shipper is None:
        yield ()
        return
    async with shipper.shipping():
        yield (shipper,)
