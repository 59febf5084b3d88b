"""The model of the whole broker: what happens to messages. The model uses no socket, no file and no clock.

Callers pass the time as `now` (seconds since 1970). Deliveries are sent through each channel's `Outlet`. Changes that
must survive the process are returned by `take_changes()`. A method makes its own change only, and marks the queues
that it changed. `proceed` then applies the consequences (expiry, delivery, overflow, dead letters) until there are
none left. After each method the caller first writes the reply and then calls `proceed`, because the reply must come
before the first delivery.
"""

import math
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass

from mailpact_devbroker import consumers, deadletters, properties, routing
from mailpact_devbroker.changes import Change, Erased, Saved
from mailpact_devbroker.consumers import Consumer, Delivery, Ledger
from mailpact_devbroker.deadletters import Reason
from mailpact_devbroker.errors import AmqpError
from mailpact_devbroker.messages import Message, Publication
from mailpact_devbroker.queues import Queue
from mailpact_devbroker.topology import Topology

LETTER_RETRY_SECONDS = 180.0  # RabbitMQ's dead_letter_worker_publisher_confirm_timeout


@dataclass(frozen=True, slots=True)
class Published:
    """The result of a publication: to how many queues it was routed, and whether all of them accepted the message."""

    routed: int
    accepted: bool


class Broker:
    """Exchanges, queues, messages and consumers. `held_bytes` is the memory of all messages together."""

    def __init__(self) -> None:
        self.held_bytes = 0
        self._changes: list[Change] = []
        self.topology = Topology(self._changes)
        self._turns: dict[str, deque[Consumer]] = {}
        self._last_id = 0
        self._touched: dict[str, Queue] = {}
        self._letters: deque[tuple[Queue, Message, Reason]] = deque()
        self._deadlines: dict[str, float] = {}

    # Time, and the consequences of changes.

    def proceed(self, now: float) -> None:
        """Expire, deliver, drop and dead-letter messages until nothing is left to do."""
        while self._letters or self._touched:
            while self._letters:
                self._send_letter(*self._letters.popleft(), now)
            if self._touched:
                self._drain(self._touched.pop(next(iter(self._touched))), now)

    def tick(self, now: float) -> None:
        """Apply everything that was due before `now`."""
        for name, deadline in self._deadlines.items():
            if deadline <= now:
                self._touched[name] = self.topology.queues[name]
        self.proceed(now)

    def next_deadline(self) -> float | None:
        """Return when `tick` is due, or None."""
        return min(self._deadlines.values(), default=None)

    def take_changes(self) -> list[Change]:
        """Return the changes that must be journalled, in order, and clear the list."""
        taken = self._changes.copy()
        self._changes.clear()
        return taken

    # Queues.

    def consumers(self, queue: Queue) -> Collection[Consumer]:
        """Return a queue's consumers, in the order in which they get messages."""
        return self._turns.get(queue.name, ())

    def delete_queue(self, name: str, owner: int, *, if_unused: bool = False, if_empty: bool = False) -> int:
        """Delete a queue with its messages and return how many were ready; deleting a missing queue is no error.

        Raises:
            AmqpError: 405 for another connection's exclusive queue, 406 if a condition is not met, 540 for a
                condition on a quorum queue.
        """
        if name not in self.topology.queues:
            return 0
        queue = self.topology.queue(name, owner)
        what = f"queue '{name}' in vhost '/'"
        for flag in (flag for flag, given in (("if-unused", if_unused), ("if-empty", if_empty)) if given):
            if queue.terms.quorum:
                how = f"queue.delete operations with {flag} flag set are not supported by quorum queues"
                raise AmqpError(540, f"cannot delete {what}. {how}")
        if if_empty and queue.ready:
            raise AmqpError(406, f"{what} not empty")
        if if_unused and self.consumers(queue):
            raise AmqpError(406, f"{what} in use")
        self._drop_queue(queue)
        return len(queue.ready)

    def use(self, queue: Queue) -> None:
        """Record that a queue is used. Its expiry time starts again."""
        queue.unused_until = None
        self._touched[queue.name] = queue

    def purge(self, queue: Queue) -> int:
        """Remove the ready messages and return their number; unacknowledged messages stay."""
        purged = list(queue.ready)
        queue.ready.clear()
        for message in purged:
            self._remove(message)
        self._touched[queue.name] = queue
        return len(purged)

    def drop_owner(self, owner: int) -> None:
        """Delete the exclusive queues of a closed connection."""
        for queue in [q for q in self.topology.queues.values() if q.owner == owner]:
            self._drop_queue(queue)

    # Publishing.

    def publish(self, publication: Publication, now: float) -> Published:
        """Route a publication to its queues; raises 404 for an exchange that does not exist."""
        targets = self._targets(self.topology.exchange(publication.exchange), publication)
        open_ones = [queue for queue in targets if not queue.is_full]
        for queue in open_ones:
            self._put(queue, publication, now)
        return Published(len(targets), accepted=len(open_ones) == len(targets))

    def restore(self, queue: str, message: Message) -> None:
        """Restore a message from the journal. Call this in the order of message ids.

        The message may have been delivered before.
        """
        message.kept = message.redelivered = True
        self._last_id = max(self._last_id, message.id)
        self.held_bytes += message.held_bytes
        home = self.topology.queues[queue]
        (home.ready if message.held_for is None else home.held).append(message)
        self._touched[queue] = home

    # Delivery.

    def get(self, ledger: Ledger, queue: Queue, *, no_ack: bool, now: float) -> Delivery | None:
        """Take one message from the queue; return None if there is none."""
        self.use(queue)
        self._expire(queue, now)
        return self._hand_over(queue, ledger, None, no_ack=no_ack) if queue.ready else None

    def consume(self, ledger: Ledger, queue: Queue, tag: str, *, no_ack: bool, exclusive: bool) -> None:
        """Add a consumer. The consumer gets its first message at the next `proceed`.

        Raises:
            AmqpError: 403 if another consumer uses the queue exclusively, 530 if the consumer tag is already used,
                540 for a quorum queue on a
                channel with a global prefetch.
        """
        turns = self._turns.setdefault(queue.name, deque())
        if tag in ledger.consumers:
            raise AmqpError(530, f"attempt to reuse consumer tag '{tag}'")
        if queue.terms.quorum and ledger.global_prefetch:
            raise AmqpError(540, f"queue '{queue.name}' in vhost '/' does not support global qos")
        if turns and (exclusive or turns[0].exclusive):
            raise AmqpError(403, f"queue '{queue.name}' in vhost '/' in exclusive use")
        consumer = Consumer(tag, ledger, queue, no_ack, exclusive, ledger.prefetch)
        ledger.consumers[tag] = consumer
        turns.append(consumer)
        self._touched[queue.name] = queue

    def cancel(self, ledger: Ledger, tag: str) -> None:
        """Remove a consumer; its channel keeps the unacknowledged messages.

        An auto-delete queue is deleted with its last consumer.
        """
        consumer = ledger.consumers.pop(tag, None)
        if consumer is None:
            return
        queue = consumer.queue
        self._turns[queue.name].remove(consumer)
        self.use(queue)
        if queue.auto_delete and not self.consumers(queue):
            self._drop_queue(queue)

    def resume(self, ledger: Ledger) -> None:
        """Continue deliveries to a channel that is writable again."""
        for consumer in ledger.consumers.values():
            self._touched[consumer.queue.name] = consumer.queue

    # Settling messages.

    def ack(self, ledger: Ledger, tag: int, *, multiple: bool) -> None:
        """Remove acknowledged messages; raises 406 for an unknown delivery tag."""
        for delivery in ledger.settle(tag, multiple=multiple):
            if self._take_back(delivery):
                delivery.queue.totals.acknowledged += 1
                self._remove(delivery.message)
        self._refill(ledger)

    def reject(self, ledger: Ledger, tag: int, *, multiple: bool, requeue: bool) -> None:
        """Return messages to their queues, or dead-letter them; raises 406 for an unknown delivery tag."""
        for delivery in ledger.settle(tag, multiple=multiple):
            if self._take_back(delivery):
                if requeue:
                    self._return(delivery.queue, delivery.message)
                else:
                    self._bury(delivery.queue, delivery.message, Reason.REJECTED)
        self._refill(ledger)

    def recover(self, ledger: Ledger) -> None:
        """Return all unacknowledged messages of a channel to their queues."""
        self.reject(ledger, 0, multiple=True, requeue=True)

    def release(self, ledger: Ledger) -> None:
        """Close a channel's ledger: end its consumers, and return its unacknowledged messages.

        The messages count as delivered.
        """
        for tag in list(ledger.consumers):
            self.cancel(ledger, tag)
        self.recover(ledger)

    def _refill(self, ledger: Ledger) -> None:
        if ledger.global_prefetch:
            self.resume(ledger)

    def _take_back(self, delivery: Delivery) -> bool:
        """Remove a settled message from its queue; return False if the queue was deleted before."""
        queue = delivery.queue
        if self.topology.queues.get(queue.name) is not queue:
            return False
        del queue.unacked[delivery.message.id]
        self._touched[queue.name] = queue
        return True

    def _return(self, queue: Queue, message: Message) -> None:
        message.deliveries += 1
        if queue.exceeds_delivery_limit(message):
            self._bury(queue, message, Reason.DELIVERY_LIMIT)
            return
        queue.put_back(message)
        self._save(queue, message)

    # The life of a message in its queue.

    def _targets(self, exchange: routing.Exchange, publication: Publication) -> list[Queue]:
        known = self.topology.queues
        names = routing.destinations(
            self.topology.exchanges,
            exchange,
            publication.routing_key,
            lambda: properties.headers(publication.header),
        )
        return [known[name] for name in names if name in known]

    def _put(self, queue: Queue, publication: Publication, now: float) -> None:
        self._last_id += 1
        message = Message(self._last_id, publication)
        message.redelivered = queue.terms.quorum and deadletters.rejections(publication) > 0
        queue.append(message, now)
        self.held_bytes += message.held_bytes
        self._save(queue, message)
        self._touched[queue.name] = queue

    def _save(self, queue: Queue, message: Message) -> None:
        if message.kept:
            self._changes.append(Saved(queue.name, message))

    def _remove(self, message: Message) -> None:
        self.held_bytes -= message.held_bytes
        if message.kept:
            self._changes.append(Erased(message.id))

    def _drain(self, queue: Queue, now: float) -> None:
        if queue.terms.expires_ms is not None and self._is_unused(queue, queue.terms.expires_ms, now):
            self._drop_queue(queue)
            return
        self._retry_letters(queue, now)
        self._expire(queue, now)
        turns = self._turns.get(queue.name, deque())
        while queue.ready and (consumer := consumers.next_ready(turns)) is not None:
            self._hand_over(queue, consumer.ledger, consumer, no_ack=consumer.no_ack)
            self._expire(queue, now)
        self._expire(queue, math.nextafter(now, math.inf))  # a time to live of 0: deliver at once or expire
        for message in queue.overflowing():
            self._bury(queue, message, Reason.MAXLEN)
        self._note_deadline(queue)

    def _hand_over(
        self, queue: Queue, ledger: Ledger, consumer: Consumer | None, *, no_ack: bool
    ) -> Delivery:
        message = queue.take()
        delivery = ledger.record(queue, message, consumer, no_ack=no_ack)
        if consumer is not None:
            ledger.outlet.deliver(delivery, consumer.tag)
        if no_ack:
            del queue.unacked[message.id]
            self._remove(message)
        return delivery

    def _expire(self, queue: Queue, now: float) -> None:
        for message in queue.expired(now):
            self._bury(queue, message, Reason.EXPIRED)

    def _is_unused(self, queue: Queue, expires_ms: int, now: float) -> bool:
        """Return whether a queue was unused for `expires_ms`: no consumer, no basic.get, no new declaration."""
        if queue.unused_until is None:
            queue.unused_until = now + expires_ms / 1000
        return queue.unused_until <= now and not self.consumers(queue)

    def _note_deadline(self, queue: Queue) -> None:
        deadline = queue.deadline()
        if queue.unused_until is not None and not self.consumers(queue):
            deadline = min(queue.unused_until, math.inf if deadline is None else deadline)
        if deadline is None:
            self._deadlines.pop(queue.name, None)
        else:
            self._deadlines[queue.name] = deadline

    # Dead letters.

    def _bury(self, queue: Queue, message: Message, reason: Reason) -> None:
        if queue.terms.dead_letter_exchange is None:
            self._remove(message)
        else:
            self._letters.append((queue, message, reason))

    def _send_letter(self, queue: Queue, message: Message, reason: Reason, now: float) -> None:
        name = queue.terms.dead_letter_exchange or ""
        letter = deadletters.letter(message.publication, reason, queue, exchange=name, now=now)
        exchange = self.topology.exchanges.get(name)
        reached = [] if exchange is None else self._targets(exchange, letter)
        targets = [t for t in reached if not deadletters.is_cycle(letter.deaths, t.name)]
        takers = [target for target in targets if not target.is_full]
        if queue.terms.at_least_once and (not targets or len(takers) < len(targets)):
            self._hold(queue, message, reason, now)
            return
        for taker in takers:
            self._put(taker, letter, now)
        self._remove(message)

    def _hold(self, queue: Queue, message: Message, reason: Reason, now: float) -> None:
        message.held_for, message.due_at = reason.value, now + LETTER_RETRY_SECONDS
        queue.held.append(message)
        self._note_deadline(queue)
        self._save(queue, message)

    def _retry_letters(self, queue: Queue, now: float) -> None:
        for message in [held for held in queue.held if held.due_at is None or held.due_at <= now]:
            queue.held.remove(message)
            self._letters.append((queue, message, Reason(str(message.held_for))))

    def _drop_queue(self, queue: Queue) -> None:
        self.topology.drop_queue(queue)
        self._touched.pop(queue.name, None)
        self._deadlines.pop(queue.name, None)
        for message in (*queue.ready, *queue.unacked.values(), *queue.held):
            self._remove(message)
        for consumer in self._turns.pop(queue.name, ()):
            del consumer.ledger.consumers[consumer.tag]
            consumer.ledger.outlet.cancelled(consumer.tag)
