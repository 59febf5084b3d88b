"""What is known about messages from the broker: the messages, their status events, and the services' log records.

Pure.

    exchange email ─▶ asked      exchange email.status ─▶ events      exchange logs ─▶ records      by the message's id

All data is kept in memory and is bounded: the messages with the oldest last event are deleted first. Data is joined
only by the message's id. The module guesses nothing: data that was not seen is not shown.
"""

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from mailpact.contracts.parse import JsonObject

MOST_MESSAGES: Final = 2_000
MOST_BYTES: Final = 32 * 1024 * 1024
MOST_BODIES: Final = 5  # the most bodies kept of one id
MOST_EVENTS: Final = 200  # the most events kept of one message
MOST_RECORDS: Final = 200
MAX_ID_CHARACTERS: Final = 255  # the longest short string of AMQP
_OVERHEAD_BYTES: Final = 1_000  # the approximate size of one entry without its data

UUID_FORM: Final = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_CONTRACTS: Final = {None: "email/1", "email.v1": "email/1", "email.v2": "email/2"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A message as it went through the exchange `email`; `seen_us` is UTC in microseconds by this server's clock.

    `body` is None if it was too large to be kept. `made_at` is the publisher's own timestamp, if the message has one.
    """

    message_id: str
    type: str | None
    content_type: str | None
    app_id: str | None
    made_at: datetime | None
    exchange: str
    routing_key: str
    size: int
    sha256: str
    body: bytes | None = field(repr=False)
    seen_us: int = 0

    @property
    def contract(self) -> str:
        """Return the contract that the message's type names; empty if the contract is unknown."""
        return _CONTRACTS.get(self.type, "")


@dataclass(slots=True)
class Heard:
    """Everything known about one id.

    `copies` counts the messages with this id, `left_out` the records that were not kept.

    `publisher_id` is the publisher's own id, if consumers use another id for the message. `keys` are the ids that
    consumers use for messages with this id.
    """

    asked: list[Asked] = field(default_factory=list)
    copies: int = 0
    events: list[JsonObject] = field(default_factory=list)
    records: list[JsonObject] = field(default_factory=list)
    publisher_id: str = ""
    keys: list[str] = field(default_factory=list)
    left_out: int = 0
    size_bytes: int = 0


class Journeys:
    """Everything known about the latest messages.

    `since_us` is when listening began; None if the server does not listen.

    `nameless` counts messages without an id, to which no other data can be joined. `invalid` counts messages that
    violate their contract.
    """

    def __init__(self, *, most_messages: int = MOST_MESSAGES, most_bytes: int = MOST_BYTES) -> None:
        self._most_messages, self._most_bytes = most_messages, most_bytes
        self._heard: OrderedDict[str, Heard] = OrderedDict()
        self._bytes = 0
        self.since_us: int | None = None
        self.hears_logs = False
        self.nameless = 0
        self.invalid = 0
        self.forgotten = 0

    def note_asked(self, asked: Asked) -> None:
        """Record a message. A second message with the same body counts as a copy and takes no memory."""
        if not asked.message_id:
            self.nameless += 1
            return
        heard = self._of(asked.message_id)
        heard.copies += 1
        if any(each.sha256 == asked.sha256 for each in heard.asked):
            return
        if len(heard.asked) < MOST_BODIES:
            heard.asked.append(asked)
            self._grow(heard, len(asked.body or b"") + _OVERHEAD_BYTES)
        else:
            heard.left_out += 1

    def note_event(self, event: JsonObject, size: int) -> None:
        """Record a status event, which must be valid under its contract."""
        key, publisher_id = str(event["message_id"]), str(event.get("publisher_message_id") or "")
        heard = self._of(key)
        if any(each["id"] == event["id"] for each in heard.events):
            return
        if publisher_id and id_key(publisher_id) != id_key(key):
            heard.publisher_id = publisher_id
            asked = self._of(publisher_id)
            if key not in asked.keys and len(asked.keys) < MOST_BODIES:
                asked.keys.append(key)
        if len(heard.events) < MOST_EVENTS:
            heard.events.append(event)
            self._grow(heard, size + _OVERHEAD_BYTES)
        else:
            heard.left_out += 1

    def note_record(self, record: JsonObject, size: int) -> None:
        """Record a log record that names a message."""
        message_id = record.get("message_id")
        if not isinstance(message_id, str) or not message_id:
            return
        heard = self._of(message_id)
        if len(heard.records) < MOST_RECORDS:
            heard.records.append(record)
            self._grow(heard, size + _OVERHEAD_BYTES)
        else:
            heard.left_out += 1

    def find(self, message_id: str) -> Heard | None:
        """Return everything known about an id; None if nothing is known."""
        return self._heard.get(id_key(message_id))

    def asked_of(self, heard: Heard) -> tuple[list[Asked], int]:
        """Return the messages of an id and the number of copies, also those under the publisher's own id."""
        publishers = self.find(heard.publisher_id) if heard.publisher_id else None
        if publishers is None:
            return heard.asked, heard.copies
        return heard.asked + publishers.asked, heard.copies + publishers.copies

    def __len__(self) -> int:
        return len(self._heard)

    @property
    def size_bytes(self) -> int:
        """Return the approximate memory in bytes."""
        return self._bytes

    def _of(self, message_id: str) -> Heard:
        key = id_key(message_id)
        heard = self._heard.get(key)
        if heard is None:
            heard = self._heard[key] = Heard()
            self._grow(heard, _OVERHEAD_BYTES)
        else:
            self._heard.move_to_end(key)
        return heard

    def _grow(self, heard: Heard, size: int) -> None:
        heard.size_bytes += size
        self._bytes += size
        while len(self._heard) > self._most_messages or (
            self._bytes > self._most_bytes and len(self._heard) > 1
        ):
            _, oldest = self._heard.popitem(last=False)
            self._bytes -= oldest.size_bytes
            self.forgotten += 1


def id_key(message_id: str) -> str:
    """Return an id in the form in which ids are compared: a UUID in lower case, any other id unchanged."""
    cut = message_id[:MAX_ID_CHARACTERS]
    return cut.lower() if UUID_FORM.fullmatch(cut) else cut


def attempts(events: Sequence[JsonObject]) -> Iterator[tuple[str, list[JsonObject]]]:
    """Yield each recipient with the recipient's events, in the order of time.

    The recipient "" means the whole message.
    """
    groups: dict[str, list[JsonObject]] = {}
    for event in sorted(events, key=lambda event: str(event["occurred_at"])):
        groups.setdefault(str(event.get("recipient") or ""), []).append(event)
    yield from groups.items()


def text_at(value: Mapping[str, object], *names: str) -> str:
    """Return the text of a nested member, named by the path of names; empty if there is none."""
    found: object = value
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return "" if found is None else str(found)
