"""The methods of a channel: what each does in the broker, and the reply.

Each AMQP class has one `match` statement, in the order of the specification. A method without a case is refused with
540 and its name. The reply is a `Delivery` for basic.get, else a method. If a case returns nothing, the reply is the
method that the specification names as the reply, if there is one. The channel sends no reply if the client set
`nowait`.
"""

from collections.abc import Callable

from pamqp import base, commands

from mailpact_devbroker.broker import Broker
from mailpact_devbroker.consumers import Delivery, Ledger
from mailpact_devbroker.errors import AmqpError, unsupported
from mailpact_devbroker.queues import Queue

Reply = base.Frame | Delivery | None

_OF_A_QUEUE = (  # in these methods an empty queue name means the channel's last declared queue
    *(commands.Queue.Bind, commands.Queue.Unbind, commands.Queue.Purge, commands.Queue.Delete),
    *(commands.Basic.Consume, commands.Basic.Get),
)


class Session:
    """Executes one channel's methods in the broker. `token` makes unique names."""

    def __init__(self, broker: Broker, ledger: Ledger, token: Callable[[], str]) -> None:
        self.confirming = False
        self._broker = broker
        self._topology = broker.topology
        self._ledger = ledger
        self._token = token
        self._last_queue = ""

    def call(self, method: base.Frame, now: float) -> Reply:
        """Execute a method; raises AmqpError if the method is refused."""
        if isinstance(method, _OF_A_QUEUE):
            method.queue = self._named(method.queue)
        match method.name.partition(".")[0]:
            case "Exchange":
                reply: Reply = self._exchange(method)
            case "Queue":
                reply = self._queue(method)
            case "Basic":
                reply = self._basic(method, now)
            case _:
                reply = self._channel(method)
        return _usual_reply(method) if reply is None else reply

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
            case commands.Confirm.Select():
                self.confirming = True
            case _:
                raise unsupported(method.name.lower())
        return None

    def _exchange(self, method: base.Frame) -> Reply:
        match method:
            case commands.Exchange.Declare():
                self._topology.declare_exchange(method)
            case commands.Exchange.Delete(if_unused=if_unused):
                self._topology.delete_exchange(method.exchange, if_unused=if_unused)
            case commands.Exchange.Bind():
                self._topology.bind(method, self._ledger.owner)
            case commands.Exchange.Unbind():
                self._topology.unbind(method, self._ledger.owner)
            case _:
                raise unsupported(method.name.lower())
        return None

    def _queue(self, method: base.Frame) -> Reply:
        match method:
            case commands.Queue.Declare():
                return self._declare_queue(method)
            case commands.Queue.Bind():
                self._topology.bind(method, self._ledger.owner)
            case commands.Queue.Unbind():
                self._topology.unbind(method, self._ledger.owner)
            case commands.Queue.Purge():
                return commands.Queue.PurgeOk(self._broker.purge(self._known(method.queue)))
            case commands.Queue.Delete(queue=name, if_unused=if_unused, if_empty=if_empty):
                owner = self._ledger.owner
                count = self._broker.delete_queue(name, owner, if_unused=if_unused, if_empty=if_empty)
                return commands.Queue.DeleteOk(count)
            case _:
                raise unsupported(method.name.lower())
        return None

    def _declare_queue(self, method: commands.Queue.Declare) -> Reply:
        if method.passive:
            method.queue = self._named(method.queue)
        elif not method.queue:
            method.queue = f"amq.gen-{self._token()}"
        queue = self._topology.declare_queue(method, self._ledger.owner)
        self._broker.use(queue)
        self._last_queue = queue.name
        return commands.Queue.DeclareOk(queue.name, len(queue.ready), len(self._broker.consumers(queue)))

    def _basic(self, method: base.Frame, now: float) -> Reply:
        match method:
            case commands.Basic.Qos():
                self._limit(method)
            case commands.Basic.Consume():
                return self._consume(method)
            case commands.Basic.Cancel(consumer_tag=tag):
                self._broker.cancel(self._ledger, tag or "")
                return commands.Basic.CancelOk(tag or "")
            case commands.Basic.CancelOk():
                pass  # the client's answer to our notification
            case commands.Basic.Get():
                queue = self._known(method.queue)
                taken = self._broker.get(self._ledger, queue, no_ack=method.no_ack, now=now)
                return commands.Basic.GetEmpty() if taken is None else taken
            case _:
                self._settle(method)
        return None

    def _settle(self, method: base.Frame) -> None:
        broker, ledger = self._broker, self._ledger
        match method:
            case commands.Basic.Ack(delivery_tag=tag, multiple=multiple):
                broker.ack(ledger, tag, multiple=multiple)
            case commands.Basic.Nack(delivery_tag=tag, multiple=multiple, requeue=requeue):
                broker.reject(ledger, tag, multiple=multiple, requeue=requeue)
            case commands.Basic.Reject(delivery_tag=tag, requeue=requeue):
                broker.reject(ledger, tag or 0, multiple=False, requeue=requeue)
            case commands.Basic.Recover(requeue=False):
                raise AmqpError(540, "requeue=false")
            case commands.Basic.Recover():
                broker.recover(ledger)
            case _:
                raise unsupported(method.name.lower())

    def _limit(self, method: commands.Basic.Qos) -> None:
        if method.prefetch_size:
            raise AmqpError(540, f"prefetch_size!=0 ({method.prefetch_size})")
        if method.global_:
            self._ledger.global_prefetch = method.prefetch_count
            self._broker.resume(self._ledger)
        else:
            self._ledger.prefetch = method.prefetch_count

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
        """Return the queue's name. An empty name means the channel's last declared queue."""
        if not (name or self._last_queue):
            raise AmqpError(404, "no previously declared queue")
        return name or self._last_queue

    def _known(self, name: str) -> Queue:
        return self._topology.queue(name, self._ledger.owner)


def _usual_reply(method: base.Frame) -> base.Frame | None:
    """Return the specification's reply to a method, without arguments; None if there is no reply."""
    if not method.synchronous:
        return None
    kind, name = method.valid_responses[0].split(".")
    reply: base.Frame = getattr(getattr(commands, kind), name)()
    return reply
