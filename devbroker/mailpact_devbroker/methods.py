"""Methods: what each method of a channel does to the broker, and what is answered.

One table a class, in the order of the specification. A method that stands in none of them is refused with 540 and its
name. A reply is a method, or a `Delivery` for basic.get; the channel leaves it away where the client said `nowait`.
"""

from collections.abc import Callable

from pamqp import base, commands

from mailpact_devbroker.broker import Broker
from mailpact_devbroker.consumers import Delivery, Ledger
from mailpact_devbroker.errors import AmqpError, unsupported
from mailpact_devbroker.queues import Queue

Reply = base.Frame | Delivery | None


class Session:
    """One channel's dealings with the broker. `token` makes names that nobody else has."""

    def __init__(self, broker: Broker, ledger: Ledger, token: Callable[[], str]) -> None:
        self.confirming = False
        self._broker = broker
        self._topology = broker.topology
        self._ledger = ledger
        self._token = token
        self._last_queue = ""

    def call(self, method: base.Frame, now: float) -> Reply:
        """Do what a method asks for; raises AmqpError where it is refused."""
        match method.name.partition(".")[0]:
            case "Exchange":
                return self._exchange(method)
            case "Queue":
                return self._queue(method)
            case "Basic":
                return self._basic(method, now)
            case _:
                return self._channel(method)

    def _channel(self, method: base.Frame) -> Reply:
        match method:
            case commands.Channel.Open():
                raise AmqpError(504, "second 'channel.open' seen")
            case commands.Channel.Flow(active=False):
                raise AmqpError(540, "active=false")
            case commands.Channel.Flow():
                return commands.Channel.FlowOk(active=True)
            case commands.Channel.Close():
                self._broker.release(self._ledger)
                return commands.Channel.CloseOk()
            case commands.Confirm.Select():
                self.confirming = True
                return commands.Confirm.SelectOk()
            case _:
                raise unsupported(method.name.lower())

    def _exchange(self, method: base.Frame) -> Reply:
        match method:
            case commands.Exchange.Declare():
                self._topology.declare_exchange(method)
                return commands.Exchange.DeclareOk()
            case commands.Exchange.Delete():
                self._topology.delete_exchange(method)
                return commands.Exchange.DeleteOk()
            case commands.Exchange.Bind():
                self._topology.bind(method, self._ledger.owner)
                return commands.Exchange.BindOk()
            case commands.Exchange.Unbind():
                self._topology.unbind(method, self._ledger.owner)
                return commands.Exchange.UnbindOk()
            case _:
                raise unsupported(method.name.lower())

    def _queue(self, method: base.Frame) -> Reply:
        owner = self._ledger.owner
        match method:
            case commands.Queue.Declare():
                return self._declare_queue(method)
            case commands.Queue.Bind():
                method.queue = self._named(method.queue)
                self._topology.bind(method, owner)
                return commands.Queue.BindOk()
            case commands.Queue.Unbind():
                method.queue = self._named(method.queue)
                self._topology.unbind(method, owner)
                return commands.Queue.UnbindOk()
            case commands.Queue.Purge():
                return commands.Queue.PurgeOk(self._broker.purge(self._known(method.queue)))
            case commands.Queue.Delete():
                method.queue = self._named(method.queue)
                return commands.Queue.DeleteOk(self._broker.delete_queue(method, owner))
            case _:
                raise unsupported(method.name.lower())

    def _declare_queue(self, method: commands.Queue.Declare) -> Reply:
        if method.passive:
            method.queue = self._named(method.queue)
        elif not method.queue:
            method.queue = f"amq.gen-{self._token()}"
        queue = self._topology.declare_queue(method, self._ledger.owner)
        self._last_queue = queue.name
        return commands.Queue.DeclareOk(queue.name, len(queue.ready), len(self._broker.consumers(queue)))

    def _basic(self, method: base.Frame, now: float) -> Reply:
        match method:
            case commands.Basic.Qos():
                return self._limit(method)
            case commands.Basic.Consume():
                return self._consume(method)
            case commands.Basic.Cancel(consumer_tag=tag):
                self._broker.cancel(self._ledger, tag or "")
                return commands.Basic.CancelOk(tag or "")
            case commands.Basic.CancelOk():
                return None  # a client that answers our notification
            case commands.Basic.Get():
                queue = self._known(method.queue)
                delivery = self._broker.get(self._ledger, queue, no_ack=method.no_ack, now=now)
                return commands.Basic.GetEmpty() if delivery is None else delivery
            case _:
                return self._settle(method)

    def _settle(self, method: base.Frame) -> Reply:
        broker, ledger = self._broker, self._ledger
        match method:
            case commands.Basic.Ack(delivery_tag=tag, multiple=multiple):
                broker.ack(ledger, tag, multiple=multiple)
                return None
            case commands.Basic.Nack(delivery_tag=tag, multiple=multiple, requeue=requeue):
                broker.reject(ledger, tag, multiple=multiple, requeue=requeue)
                return None
            case commands.Basic.Reject(delivery_tag=tag, requeue=requeue):
                broker.reject(ledger, tag or 0, multiple=False, requeue=requeue)
                return None
            case commands.Basic.Recover(requeue=False):
                raise AmqpError(540, "requeue=false")
            case commands.Basic.Recover():
                broker.recover(ledger)
                return commands.Basic.RecoverOk()
            case _:
                raise unsupported(method.name.lower())

    def _limit(self, method: commands.Basic.Qos) -> Reply:
        if method.prefetch_size:
            raise AmqpError(540, f"prefetch_size!=0 ({method.prefetch_size})")
        if method.global_:
            self._ledger.global_prefetch = method.prefetch_count
            self._broker.resume(self._ledger)
        else:
            self._ledger.prefetch = method.prefetch_count
        return commands.Basic.QosOk()

    def _consume(self, method: commands.Basic.Consume) -> Reply:
        if method.queue == "amq.rabbitmq.reply-to":
            raise unsupported("direct reply-to")
        if method.arguments:
            raise unsupported(f"consumer argument '{next(iter(method.arguments))}'")
        if method.no_local:
            raise unsupported("no-local")
        tag, queue = method.consumer_tag or f"amq.ctag-{self._token()}", self._known(method.queue)
        self._broker.consume(self._ledger, queue, tag, no_ack=method.no_ack, exclusive=method.exclusive)
        return commands.Basic.ConsumeOk(tag)

    def _named(self, name: str) -> str:
        """Return the queue's name; an empty one means the last that was declared here."""
        if not (name or self._last_queue):
            raise AmqpError(404, "no previously declared queue")
        return name or self._last_queue

    def _known(self, name: str) -> Queue:
        return self._topology.queue(self._named(name), self._ledger.owner)
