"""Build one message's journey from the broker's events about the message and the mails made from the message."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from mailpact.contracts.errors import Refusal
from mailpact.contracts.parse import JsonObject
from mailpact_capture.asked import members, shown_body, value_of
from mailpact_capture.compare import Compared, compare
from mailpact_capture.journeys import MAX_ID_CHARACTERS, Asked, Heard, Journeys, id_key
from mailpact_capture.provenance import amqp_message_id
from mailpact_capture.records import StoredMail
from mailpact_capture.search import Condition, fold
from mailpact_capture.store import Store

MOST_MAILS: Final = 60  # how many mails of one message are read and compared
MOST_BYTES: Final = 64 * 1024 * 1024  # the total size of these mails


@dataclass(frozen=True, slots=True)
class AskedShown:
    """A message in its shown form. `body` is JSON without secrets, or empty; then `defect` says why."""

    asked: Asked
    seen_at: str
    made_at: str
    body: str
    defect: str
    compared: Sequence[Compared]


@dataclass(frozen=True, slots=True)
class MailShown:
    """A mail of the message."""

    public_id: str
    received_at: str


@dataclass(frozen=True, slots=True)
class Copies:
    """The mails of one message to one recipient. More than one mail means a duplicate."""

    recipient: str
    copies: Sequence[MailShown]
    same_bytes: bool


@dataclass(frozen=True, slots=True)
class Told:
    """A journey in its shown form.

    `since` is when listening to the broker began; empty if the server does not listen.
    """

    message_id: str
    since: str
    hears_logs: bool
    copies: int
    publisher_id: str
    keys: Sequence[str]
    asked: Sequence[AskedShown]
    events: Sequence[JsonObject]
    records: Sequence[JsonObject]
    left_out: int
    mails: Sequence[Copies]

    @property
    def is_known(self) -> bool:
        """Return whether anything is known about the message."""
        return bool(self.copies or self.events or self.records or self.keys or self.mails)


@dataclass(frozen=True, slots=True)
class Origin:
    """The message from which a mail was made, by the mail's Message-ID; empty if there is none.

    `asked` is the message, if the server saw the message.
    """

    message_id: str
    asked: Asked | None
    is_listening: bool


class History:
    """Builds journeys."""

    def __init__(self, store: Store, journeys: Journeys) -> None:
        self._store = store
        self._journeys = journeys

    def origin(self, stored: StoredMail) -> Origin:
        """Return which message the mail names."""
        message_id = amqp_message_id(stored.mail.message_id) or ""
        heard = self._journeys.find(message_id) if message_id else None
        asked = self._journeys.asked_of(heard)[0] if heard is not None else []
        return Origin(message_id, asked[0] if len(asked) == 1 else None, self._journeys.since_us is not None)

    async def told(self, message_id: str, namespace: str | None) -> Told:
        """Return what is known about a message. Only the message's mails in the namespace are included."""
        message_id = message_id[:MAX_ID_CHARACTERS]
        heard = self._journeys.find(message_id) or Heard()
        mails, left_out = await self._mails(message_id, namespace)
        since = self._journeys.since_us
        asked, copies = self._journeys.asked_of(heard)

        def work() -> tuple[list[AskedShown], list[Copies]]:
            return [_shown(each, mails, is_complete=not left_out) for each in asked], _grouped(mails)

        # In a thread: large mails and bodies take long to parse and to compare.
        shown, groups = await asyncio.to_thread(work)
        return Told(
            message_id=id_key(message_id),
            since="" if since is None else moment(since),
            hears_logs=self._journeys.hears_logs,
            copies=copies,
            publisher_id=heard.publisher_id,
            keys=tuple(heard.keys),
            asked=shown,
            events=sorted(heard.events, key=lambda event: str(event["occurred_at"])),
            records=list(heard.records),
            left_out=heard.left_out + left_out,
            mails=groups,
        )

    async def _mails(self, message_id: str, namespace: str | None) -> tuple[list[StoredMail], int]:
        """Return the mails of a message, oldest first, and the number of further mails."""
        words = fold(message_id)
        if not words:
            return [], 0
        query = Condition("instr(found_message_id, ?) = 1", (words,))
        page = await self._store.page(query, start=0, limit=MOST_MAILS, namespace=namespace)
        found: list[StoredMail] = []
        key, left_out, size = id_key(message_id), page.found - len(page.summaries), 0
        for summary in reversed(page.summaries):
            if amqp_message_id(summary.message_id) != key:
                continue
            size += summary.size
            stored = None
            if size <= MOST_BYTES:
                stored = await self._store.mail(summary.public_id, namespace=namespace)
            if stored is not None:
                found.append(stored)
            else:
                left_out += 1
        return found, left_out


def _shown(asked: Asked, mails: Sequence[StoredMail], *, is_complete: bool) -> AskedShown:
    value = value_of(asked)
    is_refused = isinstance(value, Refusal)
    return AskedShown(
        asked,
        seen_at=moment(asked.seen_us),
        made_at="" if asked.made_at is None else f"{asked.made_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        body="" if isinstance(value, Refusal) else shown_body(value),
        defect=f"{value.code}: {value.detail}" if isinstance(value, Refusal) else "",
        compared=[]
        if is_refused or not mails
        else compare(asked, members(value), mails, is_complete=is_complete),
    )


def _grouped(mails: Sequence[StoredMail]) -> list[Copies]:
    groups: dict[str, list[StoredMail]] = {}
    for stored in mails:
        groups.setdefault(", ".join(stored.summary.envelope.rcpt_tos), []).append(stored)
    return [
        Copies(
            recipient,
            [MailShown(each.summary.public_id, moment(each.summary.envelope.received_us)) for each in group],
            same_bytes=len({hashlib.sha256(each.raw).digest() for each in group}) == 1,
        )
        for recipient, group in groups.items()
    ]


def moment(us: int) -> str:
    """Return a time in UTC in ISO 8601 form."""
    return f"{datetime.fromtimestamp(us / 1_000_000, UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
