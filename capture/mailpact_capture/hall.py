"""State that all conversations of an SMTP server share."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from mailpact_capture import limits
from mailpact_capture.accounts import Accounts
from mailpact_capture.certificate import Identities
from mailpact_capture.dialogues import Dialogues
from mailpact_capture.envelope import Envelope
from mailpact_capture.fault_desk import FaultDesk

Keep = Callable[[Envelope, bytes], Awaitable[None]]
NowUs = Callable[[], int]


class Guest(Protocol):
    """One conversation, with the methods that the server needs to end it."""

    is_storing: bool

    def task(self) -> "asyncio.Task[None]":
        """Return the task that runs the conversation."""

    def say_goodbye(self) -> None:
        """Tell the client that the server stops, and close the connection."""

    def abort(self) -> "asyncio.Task[None]":
        """Close the connection at once, and return the task, which ends soon after."""


@dataclass(slots=True)
class Hall:
    """State that all conversations of a server share.

    `keep` returns when a mail is durably stored and raises StoreUnavailable when it is not. `now_us` is UTC in
    microseconds. `offers_starttls` says whether clients are told of STARTTLS.
    """

    keep: Keep
    now_us: NowUs
    dialogues: Dialogues
    faults: FaultDesk
    identities: Identities
    accounts: Accounts
    offers_starttls: bool = False
    is_closing: bool = False
    conversations: set[Guest] = field(default_factory=set)
    bytes_in_flight: int = 0

    @contextmanager
    def holding(self) -> Iterator[Callable[[int], bool]]:
        """Count the bytes that a conversation holds in memory.

        The yielded function adds a number of bytes to the count, and returns False if the count is over the limit.
        """
        held = 0

        def hold(count: int) -> bool:
            nonlocal held
            if self.bytes_in_flight + count > limits.MAX_BYTES_IN_FLIGHT:
                return False
            held += count
            self.bytes_in_flight += count
            return True

        try:
            yield hold
        finally:
            self.bytes_in_flight -= held
