"""The topology: which exchanges, queues and bindings there are, and what may be declared beside them.

Declaring again what is there is no change, and anything else than it is a 406 (AMQP 0-9-1, 1.7.2.1). The methods come
in as the client sent them; one that must survive the process is noted in `changes`.
"""

from pamqp import base, commands, constants

from mailpact_devbroker import frames, queues, routing
from mailpact_devbroker.changes import Change, Declared, Undeclared
from mailpact_devbroker.errors import AmqpError, locked, not_found, unsupported
from mailpact_devbroker.queues import Queue
from mailpact_devbroker.routing import Binding, Exchange, ExchangeType

Declaration = commands.Exchange.Declare | commands.Queue.Declare | commands.Queue.Bind

_LONGEST_NAME = 127  # characters: pamqp's limit


class Topology:
    """Everything that was declared, in one virtual host `/`. `noted` is shared with who owns this."""

    def __init__(self, noted: list[Change]) -> None:
        self.exchanges: dict[str, Exchange] = routing.standard_exchanges()
        self.queues: dict[str, Queue] = {}
        self._noted = noted

    def exchange(self, name: str) -> Exchange:
        """Return an exchange; raises 404."""
        if name not in self.exchanges:
            raise not_found("exchange", name)
        return self.exchanges[name]

    def queue(self, name: str, owner: int) -> Queue:
        """Return a queue that this connection may use; raises 404, and 405 for another's exclusive queue."""
        queue = self.queues.get(name)
        if queue is None:
            raise not_found("queue", name)
        if queue.owner not in (None, owner):
            raise locked(name)
        return queue

    def declare_exchange(self, method: commands.Exchange.Declare) -> None:
        """Declare an exchange, or look for it where the method is passive.

        Raises:
            AmqpError: 404 for a passive one that is missing, 403 for a reserved name, 406 for an unknown type or
                one that differs, 540 for arguments.
        """
        name = method.exchange
        _refuse_default(name)
        if method.passive:
            self.exchange(name)
            return
        if method.exchange_type not in list(ExchangeType):
            raise AmqpError(406, f"invalid exchange type '{method.exchange_type:.40}'")
        wanted = Exchange(name, ExchangeType(method.exchange_type), method.durable)
        if name in self.exchanges:
            _assert_same_exchange(method, self.exchanges[name])
            return
        _refuse_unsupported(method)
        _check_name("exchange", name)
        self.exchanges[name] = wanted
        if wanted.durable:
            self._note(f"exchange {name}", method)

    def delete_exchange(self, name: str) -> None:
        """Delete an exchange with its bindings; one that does not exist is deleted already."""
        _refuse_default(name)
        if name.startswith("amq."):
            raise AmqpError(403, f"deletion of system exchange '{name}' in vhost '/' not allowed")
        if name in self.exchanges:
            exchange = self.exchanges.pop(name)
            for binding in list(exchange.bindings):
                self._remove(exchange, binding)
            self._noted.append(Undeclared(f"exchange {name}"))

    def declare_queue(self, method: commands.Queue.Declare, owner: int) -> Queue:
        """Declare a queue, or look for it where the method is passive.

        Raises:
            AmqpError: 404 for a passive one that is missing, 403 for a reserved name, 405 and 406 where it differs
                from the one that is there, 406 for what a quorum queue cannot be, 540 for arguments.
        """
        name, arguments = method.queue, method.arguments or {}
        if method.passive:
            return self.queue(name, owner)
        exclusive_to = owner if method.exclusive else None
        if name in self.queues:
            queues.assert_equivalent(self.queues[name], method, exclusive_to)
            return self.queues[name]
        _check_name("queue", name)
        understood = queues.terms(name, arguments)
        if understood.quorum:
            _assert_quorum_can(method)
        queue = Queue(name, method.durable, method.auto_delete, exclusive_to, arguments, understood)
        self.queues[name] = queue
        if queue.survives:
            self._note(f"queue {name}", method)
        return queue

    def drop_queue(self, queue: Queue) -> None:
        """Forget a queue and the bindings to it."""
        del self.queues[queue.name]
        for exchange in self.exchanges.values():
            for binding in [each for each in exchange.bindings if each.queue == queue.name]:
                self._remove(exchange, binding)
        self._noted.append(Undeclared(f"queue {queue.name}"))

    def bind(self, method: commands.Queue.Bind, owner: int) -> None:
        """Bind an existing queue to an exchange; binding again changes nothing."""
        exchange, binding = self._binding(method, owner)
        if binding in exchange.bindings:
            return
        exchange.bindings[binding] = method.arguments or {}
        if exchange.durable and self.queues[binding.queue].survives:
            self._note(_key(exchange, binding), method)

    def unbind(self, method: commands.Queue.Unbind, owner: int) -> None:
        """Take a binding away; one that does not exist is gone already."""
        exchange, binding = self._binding(method, owner)
        if binding in exchange.bindings:
            self._remove(exchange, binding)

    def _binding(
        self, method: commands.Queue.Bind | commands.Queue.Unbind, owner: int
    ) -> tuple[Exchange, Binding]:
        queue = self.queue(method.queue, owner)
        _refuse_default(method.exchange)
        exchange = self.exchange(method.exchange)
        arguments = routing.encoded_arguments(method.arguments or {}, exchange)
        return exchange, Binding(queue.name, method.routing_key, arguments)

    def _note(self, key: str, method: Declaration) -> None:
        method.ticket = 0  # AMQP 0-9-1 ignores it, and pamqp refuses to write another
        self._noted.append(Declared(key, frames.encode_method(method)))

    def _remove(self, exchange: Exchange, binding: Binding) -> None:
        del exchange.bindings[binding]
        self._noted.append(Undeclared(_key(exchange, binding)))


def replay(topology: Topology, method: base.Frame) -> None:
    """Declare again what a journal kept."""
    match method:
        case commands.Exchange.Declare():
            topology.declare_exchange(method)
        case commands.Queue.Declare():
            topology.declare_queue(method, 0)
        case commands.Queue.Bind():
            topology.bind(method, 0)
        case _:
            raise AmqpError(503, f"{method.name} declares nothing")


def _key(exchange: Exchange, binding: Binding) -> str:
    return f"binding {exchange.name!r} {binding!r}"


def _refuse_default(exchange: str) -> None:
    if not exchange:
        raise AmqpError(403, "operation not permitted on the default exchange")


def _refuse_unsupported(method: commands.Exchange.Declare) -> None:
    if method.arguments:
        raise unsupported(f"exchange argument '{next(iter(method.arguments))}'")
    if method.auto_delete or method.internal:
        raise unsupported("an auto-delete or internal exchange")


def _check_name(kind: str, name: str) -> None:
    if name.startswith("amq.") and not (kind == "queue" and name.startswith("amq.gen-")):
        raise AmqpError(403, f"{kind} name '{name}' contains reserved prefix 'amq.*'")
    if len(name) > _LONGEST_NAME or not constants.DOMAIN_REGEX[f"{kind}-name"].fullmatch(name):
        allowed = f"at most {_LONGEST_NAME} of letters, digits, -_.:@#,/+ and space"
        raise unsupported(f"{kind} name '{name:.40}' ({allowed})")


def _assert_same_exchange(method: commands.Exchange.Declare, current: Exchange) -> None:
    where = f"exchange '{current.name}' in vhost '/'"
    queues.assert_same("type", where, method.exchange_type, current.type)
    queues.assert_same("durable", where, method.durable, current.durable)
    queues.assert_same("auto_delete", where, method.auto_delete, current=False)
    queues.assert_same("internal", where, method.internal, current=False)


def _assert_quorum_can(method: commands.Queue.Declare) -> None:
    wrong = (
        ("auto-delete", method.auto_delete),
        ("exclusive-owner", method.exclusive),
        ("non-durable", not method.durable),
    )
    for what in (name for name, asked in wrong if asked):
        raise AmqpError(406, f"invalid property '{what}' for queue '{method.queue}' in vhost '/'")
