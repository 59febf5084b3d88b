"""The points on a message's journey.

Each component reports when a message reaches a point. The demo prints the journey from these reports, and a crash test
ends the process at one of the points (see `Journey`).
"""

import os
import signal
from collections.abc import Callable
from enum import StrEnum


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
