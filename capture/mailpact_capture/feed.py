"""Changes of the mails as one sequence of events, for server-sent events, the WebSocket and `wait`.

The latest events are kept, so that a client that lost its connection can continue after its last event. A client that
does not read its events is disconnected; the server never waits for a client.
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from mailpact_capture.envelope import Scopes

KEPT_EVENTS: Final = 1000
MAX_QUEUED: Final = 256  # events, as Mailpit
MAX_SUBSCRIBERS: Final = 200


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `data` is a row of the store for `new`.

    For the other kinds `data` is the mail's public ID and what changed.

    `scopes` are the lists of mails that the event changes: namespaces, and None for the list of all mail. If `scopes`
    itself is None, every list may have changed.
    """

    number: int
    kind: str
    data: Mapping[str, Any] | None
    scopes: Scopes | None

    def is_in(self, namespace: str | None) -> bool:
        """Return whether the event changes the list of a namespace, or for None the list of all mail."""
        return self.scopes is None or namespace in self.scopes


class TooManySubscribers(Exception):
    """The limit of clients that follow the events is reached."""


class Subscription:
    """The events that one client has not received yet."""

    def __init__(self, missed: list[Event]) -> None:
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self._is_ended = False
        for event in missed:
            self._queue.put_nowait(event)

    def put(self, event: Event) -> None:
        """Add an event. A client with too many waiting events gets no more events."""
        if self._queue.qsize() >= MAX_QUEUED + KEPT_EVENTS:
            self.end()
        elif not self._is_ended:
            self._queue.put_nowait(event)

    def end(self) -> None:
        """Let `next` return None after the waiting events."""
        if not self._is_ended:
            self._is_ended = True
            self._queue.put_nowait(None)

    async def next(self) -> Event | None:
        """Wait for the next event and return it; None if there will be no more events."""
        return await self._queue.get()


class Feed:
    """The sequence of events of one store. `name` differs for each process, and so for each sequence."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.number = 0
        self.updates = 0  # events of mails that were stored before: their tags, or whether they are read
        self.is_closed = False
        self._kept: deque[Event] = deque(maxlen=KEPT_EVENTS)
        self._subscriptions: set[Subscription] = set()
        self._changed: asyncio.Event | None = None  # made when somebody waits for the next event

    def id_of(self, number: int) -> str:
        """Return the id of an event, from which a client can continue."""
        return f"{self.name}.{number}"

    def publish(self, kind: str, data: Mapping[str, Any] | None = None, scopes: Scopes | None = None) -> None:
        """Append an event."""
        self.number += 1
        self.updates += kind == "update"
        event = Event(self.number, kind, data, scopes)
        self._kept.append(event)
        for subscription in self._subscriptions:
            subscription.put(event)
        self._wake()

    def next_change(self) -> asyncio.Event:
        """Return an asyncio.Event that is set at the next event of the feed."""
        if self._changed is None:
            self._changed = asyncio.Event()
        return self._changed

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    @contextmanager
    def following(self, after: int | None = None) -> Iterator[Subscription]:
        """Yield a subscription to the events from now on, or to the kept events after a number.

        Raises TooManySubscribers.
        """
        if len(self._subscriptions) >= MAX_SUBSCRIBERS:
            raise TooManySubscribers
        missed = [] if after is None else [event for event in self._kept if event.number > after]
        subscription = Subscription(missed)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def knows(self, after: int) -> bool:
        """Return whether every event after this number is kept."""
        oldest = self._kept[0].number if self._kept else self.number + 1
        return oldest - 1 <= after <= self.number

    def close(self) -> None:
        """End every subscription, and wake all waiting calls."""
        self.is_closed = True
        for subscription in self._subscriptions:
            subscription.end()
        self._wake()
