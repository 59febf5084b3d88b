"""Decides whether the broker has lost a subscription without saying so; the consumer would otherwise wait for ever.

A subscriber asks every 2 seconds how many messages are ready in its queue and how many consumers the queue has. The
subscription counts as lost in two cases:

- The queue has no consumer, three times in a row: RabbitMQ answers 0 for a moment while a quorum queue has no leader.
- Messages are ready, the subscriber has room for them, and none came since the last answer, five times in a row: a
  broker with a slow disk is late too. Other consumers of the queue may be alive then.

A new subscription returns the unsettled messages to the queue, and the broker counts that. So a new subscription that
brings no message doubles the answers that the next one needs.
"""

from typing import Final

LOOK_SECONDS: Final = 2.0
WITHOUT_CONSUMER: Final = 3  # answers in a row
WITHOUT_DELIVERY: Final = 5
LARGEST_PATIENCE: Final = 32


class Watchdog:
    """Judges the answers about one queue, over all sessions of its subscriber."""

    def __init__(self) -> None:
        self._patience = 1
        self._delivered = 0
        self.forget()

    def forget(self) -> None:
        """Forget the earlier answers, because consuming has begun or was paused."""
        self._without_consumer = self._without_delivery = 0

    def why_lost(self, *, ready: int, consumers: int, delivered: int, has_room: bool) -> str | None:
        """Return why the subscription is lost, one line; None while it may be alive.

        `ready` messages wait in the queue; `delivered` counts what the subscriber has ever received; `has_room` says
        that the subscriber has fewer unsettled messages than its prefetch.
        """
        has_come = delivered > self._delivered
        self._delivered = delivered
        if has_come:
            self._patience = 1
        is_starved = ready > 0 and has_room and not has_come
        self._without_consumer = 0 if consumers else self._without_consumer + 1
        self._without_delivery = self._without_delivery + 1 if is_starved else 0
        if self._without_consumer >= WITHOUT_CONSUMER * self._patience:
            why = "the queue has no consumer any more"
        elif self._without_delivery >= WITHOUT_DELIVERY * self._patience:
            why = f"{ready} messages wait and none is delivered"
        else:
            return None
        self._patience = min(2 * self._patience, LARGEST_PATIENCE)
        return why
