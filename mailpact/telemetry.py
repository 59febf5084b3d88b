"""The points on a message's way. Each component reports when a message reaches a point.

The demo prints a message's journey from these reports, and a crash test ends the process at one of the points.
"""

from collections.abc import Callable
from enum import StrEnum


class Point(StrEnum):
    """The points on a message's way, in their order."""

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


class Journey:
    """Reports to all watchers which message reached which point."""

    def __init__(self) -> None:
        self._watchers: list[Callable[[Point, str], None]] = []

    def watch(self, watcher: Callable[[Point, str], None]) -> None:
        """Call `watcher` at every point from now on; it must not block or raise."""
        self._watchers.append(watcher)

    def reach(self, point: Point, message_id: str) -> None:
        """Report that the message has reached the point."""
        for watcher in self._watchers:
            watcher(point, message_id)
