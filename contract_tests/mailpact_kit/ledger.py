"""The state of each delivery and of each publish, updated with each event.

Pure. An ack, nack or reject on the delivery's channel settles the delivery. With `multiple`, all deliveries up to the
tag are settled; tag 0 means all deliveries (AMQP 0-9-1, 1.8.3.13). A publish on a channel in confirm mode has a
number, counted from `confirm.select`, and the broker's ack or nack names numbers in the same way.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from enum import StrEnum

from mailpact_kit.trace import Event, Speaker

_SETTLING = ("basic.ack", "basic.nack", "basic.reject")


class Settled(StrEnum):
    """How a program finally settled a delivery."""

    ACKED = "acked"
    REJECTED = "rejected"


@dataclass(slots=True, eq=False)
class Delivery:
    """A message that the broker delivered to the program, and the event that settled the delivery."""

    event: Event
    settlement: Event | None = None

    @property
    def settled(self) -> Settled | None:
        """Return how the delivery was settled, or None while it is open or if the message was returned."""
        if self.settlement is None:
            return None
        if self.settlement.name == "basic.ack":
            return Settled.ACKED
        return None if self.settlement.arguments.get("requeue") else Settled.REJECTED


@dataclass(slots=True, eq=False)
class Publication:
    """A message that the program published. `answer` is the broker's confirm.

    `is_returned` is true if no queue took it.
    """

    event: Event
    is_confirming: bool
    answer: Event | None = None
    is_returned: bool = False

    @property
    def confirmed_at(self) -> float | None:
        """Return when the broker confirmed the message, in seconds of the trace, or None if there is no confirm."""
        if self.answer is None or self.answer.name != "basic.ack" or self.is_returned:
            return None
        return self.answer.at


@dataclass(slots=True)
class Subscription:
    """A `basic.consume` and the prefetch count at that time; None means that no count was set."""

    event: Event
    prefetch: int | None


@dataclass(slots=True)
class _Channel:
    prefetch: int | None = None  # for each new consumer
    shared_prefetch: int | None = None  # basic.qos with global: for all consumers of the channel together
    published: int | None = None  # messages since confirm.select; None before confirm.select
    open_deliveries: dict[int, Delivery] = field(default_factory=dict)
    open_publications: dict[int, Publication] = field(default_factory=dict)


class Ledger:
    """All deliveries by message id, and all publications in order."""

    def __init__(self) -> None:
        self.deliveries: dict[str, list[Delivery]] = defaultdict(list)
        self.publications: list[Publication] = []
        self.subscriptions: list[Subscription] = []
        self.unknown_settlements: list[Event] = []
        self.polls: list[Event] = []
        self.cancellations = 0
        """The number of the program's consumers that the broker has cancelled."""
        self._channels: dict[tuple[int, int], _Channel] = {}

    def take(self, event: Event) -> None:
        """Update the records with the next event."""
        place = (event.connection, event.channel)
        if event.name == "channel.open":
            self._channels[place] = _Channel()
        channel = self._channels.setdefault(place, _Channel())
        if event.speaker is Speaker.PROGRAM:
            self._said_by_program(channel, event)
        else:
            self._said_by_broker(channel, event)

    def settled(self, message_id: str) -> Settled | None:
        """Return how the program settled a message for good, or None if the message is not settled yet."""
        found = (delivery.settled for delivery in self.deliveries.get(message_id, ()))
        return next((settled for settled in found if settled is not None), None)

    def about_to_settle(
        self, connection: int, channel: int, name: str, arguments: "dict[str, object]"
    ) -> set[str]:
        """Return the ids of the messages that this method would settle now."""
        held = self._channels.get((connection, channel), _Channel()).open_deliveries
        if name not in _SETTLING:
            return set()
        tags = _covered(list(held), name, arguments)
        return {str(held[tag].event.properties.get("message_id")) for tag in tags}

    def _said_by_program(self, channel: _Channel, event: Event) -> None:
        match event.name:
            case "basic.qos":
                count = event.arguments.get("prefetch_count")
                limit = count if isinstance(count, int) and count else None
                if event.arguments.get("global_"):
                    channel.shared_prefetch = limit
                else:
                    channel.prefetch = limit
            case "basic.consume":
                self.subscriptions.append(Subscription(event, channel.prefetch or channel.shared_prefetch))
            case "basic.get":
                self.polls.append(event)
            case "confirm.select":
                channel.published = channel.published or 0
            case "basic.publish":
                self._published(channel, event)
            case "basic.ack" | "basic.nack" | "basic.reject":
                self._settle(channel, event)
            case _:
                pass

    def _said_by_broker(self, channel: _Channel, event: Event) -> None:
        tag = event.arguments.get("delivery_tag")
        match event.name:
            case "basic.deliver" | "basic.get-ok":
                delivery = Delivery(event)
                self.deliveries[str(event.properties.get("message_id"))].append(delivery)
                if isinstance(tag, int):
                    channel.open_deliveries[tag] = delivery
            case "basic.cancel":
                self.cancellations += 1
            case "basic.return":
                self._returned(channel, event)
            case "basic.ack" | "basic.nack":
                for number in _covered(list(channel.open_publications), event.name, dict(event.arguments)):
                    channel.open_publications.pop(number).answer = event
            case _:
                pass

    def _published(self, channel: _Channel, event: Event) -> None:
        publication = Publication(event, is_confirming=channel.published is not None)
        self.publications.append(publication)
        if channel.published is not None:
            channel.published += 1
            channel.open_publications[channel.published] = publication

    def _returned(self, channel: _Channel, event: Event) -> None:
        """Mark the publication that the broker returned: the oldest open publication with this body."""
        for publication in channel.open_publications.values():
            if publication.event.body == event.body and not publication.is_returned:
                publication.is_returned = True
                return

    def _settle(self, channel: _Channel, event: Event) -> None:
        tags = _covered(list(channel.open_deliveries), event.name, dict(event.arguments))
        for tag in tags:
            channel.open_deliveries.pop(tag).settlement = event
        if not tags and not (event.arguments.get("multiple") and event.arguments.get("delivery_tag") == 0):
            self.unknown_settlements.append(event)


def _covered(tags: list[int], name: str, arguments: dict[str, object]) -> list[int]:
    """Return the open tags that an ack, nack or reject covers."""
    tag = arguments.get("delivery_tag")
    if not isinstance(tag, int):
        return []
    if name != "basic.reject" and arguments.get("multiple"):
        return [each for each in tags if tag == 0 or each <= tag]
    return [tag] if tag in tags else []
