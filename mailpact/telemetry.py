"""The points on a message's journey, and the configuration of the logs.

Each component reports when a message reaches a point. The demo prints the journey from these reports, and a crash test
ends the process at one of the points (see `Journey`).
"""

import logging
import os
import signal
import sys
from collections.abc import Callable, MutableMapping
from enum import StrEnum
from typing import Any

import structlog

from mailpact.log_records import cleaned, json_text


class Point(StrEnum):
    """The points on a message's way, in the order in which it passes them."""

    COMMITTED = "committed"  # producer: user and message are one committed transaction
    CLAIMED = "claimed"  # producer: the relay has taken the message out of the outbox
    CONFIRMED = "confirmed"  # producer: the broker has confirmed it
    RECEIVED = "received"  # consumer: delivered by the broker
    VALIDATED = "validated"  # consumer: it obeys its contract
    SENDING = "sending"  # consumer: the inbox says `sending`; DATA comes next
    HANDED_TO_SMTP = "handed_to_smtp"  # consumer: the final dot was answered with 250
    SENT = "sent"  # consumer: the inbox says `sent`; the ack comes next
    DEFERRED = "deferred"  # consumer: the inbox says `deferred`; the retry copy comes next
    PUT_OFF = "put_off"  # consumer: the retry copy is confirmed; the ack comes next
    BURIED = "buried"  # consumer: the dead letter is confirmed; the inbox's row comes next
    ENDED = "ended"  # consumer: the inbox says `failed` or `expired`; the ack comes next
    ACKED = "acked"  # consumer: the broker was told that the message is done
    CAPTURED = "captured"  # capture server: the mail is stored durably


Watcher = Callable[[Point, str], None]


class Journey:
    """Reports to all watchers which message reached which point.

    With `die_at`, the process ends with SIGKILL when the first message reaches that point: no handler runs and no
    buffer is written, as in a power cut. Crash tests use this to crash at an exact point, without a sleep.
    """

    def __init__(self, *, die_at: Point | None = None) -> None:
        self._watchers: list[Watcher] = []
        self._die_at = die_at

    def watch(self, watcher: Watcher) -> None:
        """Call `watcher` at every point from now on; it must not block or raise."""
        self._watchers.append(watcher)

    def reach(self, point: Point, message_id: str) -> None:
        """Report that the message has reached the point."""
        for watcher in self._watchers:
            watcher(point, message_id)
        if point is self._die_at:
            os.kill(os.getpid(), signal.SIGKILL)


Ship = Callable[[str, str], None]
"""Takes a record's level and its JSON text (`log/1`); it must not block or raise."""


def configure_logging(*, verbose: bool, service: str = "", ship: Ship | None = None) -> None:
    """Send all logs to stderr: as text on a terminal, otherwise as one JSON object a line.

    `verbose` adds the level info to warnings and errors. Libraries log from the level warning on: at the level debug
    aiormq logs whole frames with bodies and addresses. `service` is the member of that name in JSON. `ship` receives
    each record too.
    """
    stream = sys.stderr
    level = logging.INFO if verbose else logging.WARNING
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    as_json = _JsonRecord(service, ship)
    rendering: list[structlog.typing.Processor]
    if stream.isatty():
        # Its own formatter would show every variable: bodies, addresses, passwords.
        console = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        rendering = [as_json.beside, console] if ship else [console]
    else:
        rendering = [as_json]
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    # Mailpact logs each loss of a connection once; the library would add two more lines.
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)


class _JsonRecord:
    """Renders a record as the JSON text of `log/1`, and gives the text to `ship`."""

    def __init__(self, service: str, ship: Ship | None) -> None:
        self._service = {"service": service} if service else {}
        self._ship = ship

    def __call__(self, logger: Any, method: str, fields: MutableMapping[str, Any]) -> str:
        formatted = structlog.processors.format_exc_info(logger, method, fields)
        record = cleaned(self._service | dict(formatted))
        record["event"] = str(record.get("event", ""))
        if not str(record["level"]).isalpha():  # a level of a library's own, such as "level 35"
            record["level"] = "warning"
        text = json_text(record)
        if self._ship is not None:
            self._ship(str(record["level"]), text)
        return text

    def beside(self, logger: Any, method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Ship the record, and leave it to the next processor as it is."""
        self(logger, method, dict(fields))
        return fields
