"""The model agrees with a simple model of a queue: no message is lost or duplicated, and the order is kept."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from pamqp import commands

from mailpact_devbroker.broker import Broker
from mailpact_devbroker.consumers import Delivery, Ledger
from mailpact_devbroker.messages import Publication

HEADER = b"\0\x3c\0\0" + bytes(8) + b"\0\0"


class Keeper:
    """An outlet that keeps deliveries until they are settled."""

    def __init__(self) -> None:
        self.held: list[Delivery] = []

    def is_writable(self) -> bool:
        return True

    def deliver(self, delivery: Delivery, consumer_tag: str) -> None:
        self.held.append(delivery)

    def cancelled(self, consumer_tag: str) -> None:
        raise AssertionError(consumer_tag)


class Oracle(RuleBasedStateMachine):
    """`waiting` is the expected content of the queue, returned messages first; `seen` has all that ever left it."""

    def __init__(self) -> None:
        super().__init__()
        self.broker = Broker()
        arguments = {"x-queue-type": "quorum", "x-delivery-limit": 1_000}
        method = commands.Queue.Declare(queue="q", durable=True, arguments=arguments)
        self.queue = self.broker.topology.declare_queue(method, 0)
        self.published = 0
        self.gone: set[int] = set()
        self.seen: set[int] = set()
        self.returned: list[int] = []
        self.open: list[tuple[Ledger, Keeper]] = []

    def proceed(self) -> None:
        known = {id(delivery) for _, keeper in self.open for delivery in keeper.held}
        waiting = self.waiting()
        self.broker.proceed(0.0)
        new = [d for _, keeper in self.open for d in keeper.held if id(d) not in known]
        numbers = sorted(int(delivery.message.publication.body) for delivery in new)
        assert numbers == sorted(waiting[: len(numbers)]), "delivered are the first that wait"
        self.returned = [number for number in self.returned if number not in numbers]
        for delivery in new:
            number = int(delivery.message.publication.body)
            assert delivery.redelivered is (number in self.seen)
            self.seen.add(number)

    def waiting(self) -> list[int]:
        held = {int(d.message.publication.body) for _, keeper in self.open for d in keeper.held}
        fresh = (n for n in range(self.published) if n not in self.gone | held and n not in self.returned)
        return [*self.returned, *fresh]

    @rule(count=st.integers(1, 4))
    def publish(self, count: int) -> None:
        for _ in range(count):
            body = str(self.published).encode()
            self.published += 1
            assert self.broker.publish(Publication("", "q", HEADER, body), 0.0).accepted
            self.proceed()

    @precondition(lambda self: len(self.open) < 3)
    @rule(prefetch=st.integers(0, 3))
    def consume(self, prefetch: int) -> None:
        keeper = Keeper()
        ledger = Ledger(len(self.open), keeper, prefetch)
        self.open.append((ledger, keeper))
        self.broker.consume(ledger, self.queue, "c", no_ack=False, exclusive=False)
        self.proceed()

    @precondition(lambda self: any(keeper.held for _, keeper in self.open))
    @rule(data=st.data(), how=st.sampled_from(["ack", "requeue", "drop"]), multiple=st.booleans())
    def settle(self, data: st.DataObject, how: str, multiple: bool) -> None:
        ledger, keeper = data.draw(st.sampled_from([pair for pair in self.open if pair[1].held]))
        chosen = data.draw(st.sampled_from(keeper.held))
        settled = [d for d in keeper.held if d is chosen or (multiple and d.tag < chosen.tag)]
        keeper.held = [d for d in keeper.held if d not in settled]
        if how == "ack":
            self.broker.ack(ledger, chosen.tag, multiple=multiple)
        else:
            self.broker.reject(ledger, chosen.tag, multiple=multiple, requeue=how == "requeue")
        numbers = [int(delivery.message.publication.body) for delivery in settled]
        if how == "requeue":
            self.returned += numbers
        else:
            self.gone.update(numbers)
        self.proceed()

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        ledger, keeper = data.draw(st.sampled_from(self.open))
        self.open.remove((ledger, keeper))
        self.returned += [int(delivery.message.publication.body) for delivery in keeper.held]
        self.broker.release(ledger)
        self.proceed()

    @invariant()
    def nothing_is_lost_and_order_is_kept(self) -> None:
        assert [int(message.publication.body) for message in self.queue.ready] == self.waiting()

    @invariant()
    def memory_is_accounted_for(self) -> None:
        messages = [*self.queue.ready, *self.queue.unacked.values()]
        assert self.broker.held_bytes == sum(message.held_bytes for message in messages)


Oracle.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestOracle = pytest.mark.heavy(Oracle.TestCase)
