"""Configures the log output of a process: text on a terminal, otherwise one JSON object a line (`log/1`)."""

import logging
import sys
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog

from mailpact_cli.log_records import cleaned, json_text

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
