"""A record of `log/1` for `mailpact logs`: parsing, order in time, selection, and output.

Any program may publish to the exchange `logs`. So every message is parsed strictly, and control characters never
reach a terminal. If a message is not a record of `log/1`, a record with its size and without its body is shown
instead.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from mailpact.amqp.messages import Message
from mailpact.contracts.catalogue import Contract
from mailpact.contracts.errors import Refusal
from mailpact.contracts.parse import JsonObject, parse
from mailpact.contracts.validate import Validator
from mailpact_cli.printable import one_line


class Level(StrEnum):
    """The levels of a record, from the least to the most severe."""

    TRACE = "trace"
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


LEVELS: Final = tuple(Level)
CONTRACT: Final = "log/1"
_OTHER_NAMES: Final = {
    "verbose": "trace",
    "notice": "info",
    "warn": "warning",
    "err": "error",
    "severe": "error",
    "fatal": "critical",
    "alert": "critical",
    "emerg": "critical",
    "emergency": "critical",
    "panic": "critical",
}
_COLOURS: Final = {"debug": "2", "trace": "2", "warning": "33", "error": "31", "critical": "1;31"}
_LINES: Final = ("exception", "stack")
_FIRST: Final = ("timestamp", "level", "service", "event")
_TIME: Final = re.compile(r"(.{19})(?:\.(\d+))?(?:Z|([+-])(\d\d):(\d\d))")
_EARLIEST: Final = (datetime.min.replace(tzinfo=UTC), "")

Moment = tuple[datetime, str]
"""The time of a record: the whole second, and nine digits of its fraction."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record. `level` is a `Level`, or the unknown word in the record; `service` is empty if it is unknown."""

    members: JsonObject
    level: str
    service: str
    moment: Moment


@dataclass(frozen=True, slots=True)
class Choice:
    """Selects records; an empty text or None selects all. A level selects itself and all more severe levels."""

    service: str = ""
    level: Level | None = None
    message_id: str = ""

    def has(self, record: Record) -> bool:
        """Return whether a record is selected. An unknown level is always selected, because it may be severe."""
        if self.service and record.service != self.service:
            return False
        if self.level and record.level in LEVELS[: LEVELS.index(self.level)]:
            return False
        ids = [record.members.get(name) for name in ("message_id", "publisher_message_id")]
        return not self.message_id or self.message_id.lower() in [str(one).lower() for one in ids if one]


class Reader:
    """Reads messages as records."""

    def __init__(self, contract: Contract, *, utc_now: Callable[[], datetime]) -> None:
        self._limits = contract.wire.limits
        self._validator = Validator(contract.schema)
        self._utc_now = utc_now

    def read(self, message: Message) -> Record:
        """Return the record, or a record that reports an invalid message."""
        limits = self._limits
        value = parse(message.body, max_bytes=limits.max_body_bytes, max_depth=limits.max_depth)
        refusal = value if isinstance(value, Refusal) else self._validator.check(value)
        if refusal is None and isinstance(value, dict):
            return _record(value, message.app_id or "")
        code = str(refusal.code) if isinstance(refusal, Refusal) else ""
        about: JsonObject = {
            "timestamp": self._utc_now().isoformat().replace("+00:00", "Z"),
            "level": "warning",
            "service": message.app_id or "",
            "event": "a message on exchange logs is no record of log/1",
            "code": code,
            "bytes": len(message.body),
        }
        return _record(about, "")


def _record(members: JsonObject, app_id: str) -> Record:
    level = str(members["level"]).lower()
    said = members.get("service")
    if isinstance(said, Mapping):
        said = said.get("name")
    service = said if isinstance(said, str) and said else app_id
    return Record(members, _OTHER_NAMES.get(level, level), service, _moment(str(members["timestamp"])))


def _moment(text: str) -> Moment:
    found = _TIME.fullmatch(text)
    if found is None:
        return _EARLIEST
    seconds, fraction, sign, hours, minutes = found.groups()
    is_leap = seconds.endswith("60")
    try:
        at = datetime.fromisoformat(seconds[:17] + "59" if is_leap else seconds).replace(tzinfo=UTC)
        offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
        at += timedelta(seconds=int(is_leap)) + (offset if sign == "-" else -offset)
    except (ValueError, OverflowError):  # the contract allows the 30th of February and the year 0
        return _EARLIEST
    return at, (fraction or "").ljust(9, "0")


def as_json(record: Record) -> str:
    """Return the record as it came, as JSON on one line in ASCII, with its service as a string."""
    service: JsonObject = {"service": record.service} if record.service else {}
    return json.dumps({**record.members, **service})


def as_text(record: Record, *, is_coloured: bool) -> str:
    """Return the record for people: a line, and the lines of an exception below it."""
    members = record.members
    more = " ".join(
        f"{one_line(name)}={_value(value)}"
        for name, value in members.items()
        if name not in _FIRST and name not in _LINES
    )
    time = one_line(str(members["timestamp"]))
    event = one_line(str(members["event"]))
    line = f"{time:<27} {record.level:<8} {one_line(record.service) or '-':<9} {event}"
    line = f"{line}  {more}" if more else line
    below = [
        f"    {one_line(text)}"
        for name in _LINES
        if isinstance(lines := members.get(name), str)
        for text in lines.splitlines()
    ]
    colour = _COLOURS.get(record.level)
    if is_coloured and colour:
        line = f"\x1b[{colour}m{line}\x1b[0m"
    return "\n".join([line, *below])


def _value(value: object) -> str:
    if isinstance(value, str):
        text = one_line(value)
        return text if text and " " not in text else f'"{text}"'
    return json.dumps(value)
