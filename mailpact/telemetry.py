"""What happened to a message, and what operators read of it.

A message travels over the same points every time. Each room says so when one is reached, and three kinds of
listeners hang on that one call: the demo prints the journey from it, later the metrics count it, and a test
that wants to know what a crash costs lets the process die exactly there (see `Journey`).
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
    """Tells everybody who watches which message reached which point.

    `die_at` ends the process with SIGKILL at the first message that reaches that point: no handler, no flush, as a
    power cut would. It is how the crash tests place a crash instead of guessing at it with a sleep.
    """

    def __init__(self, *, die_at: Point | None = None) -> None:
        self._watchers: list[Watcher] = []
        self._die_at = die_at

    def watch(self, watcher: Watcher) -> None:
        """Call `watcher` at every point from now on; it must not block or raise."""
        self._watchers.append(watcher)

    def reach(self, point: Point, message_id: str) -> None:
        """Say that the message has reached the point."""
        for watcher in self._watchers:
            watcher(point, message_id)
        if point is self._die_at:
            os.kill(os.getpid(), signal.SIGKILL)


Ship = Callable[[str, str], None]
"""Takes a record's level and its JSON text (`log/1`); it must not block or raise."""


def configure_logging(*, verbose: bool, service: str = "", ship: Ship | None = None) -> None:
    """Send all logs to stderr: for people on a terminal, as one JSON object a line elsewhere.

    `verbose` shows what is normal too (info); without it only warnings and errors. Libraries never speak below
    warning: at debug level aiormq logs whole frames, bodies and addresses included. `service` is the member of that
    name in JSON; `ship` is given each record as well.
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
    # Every loss of a connection is already one line of ours; the library's own would be a second and a third.
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
