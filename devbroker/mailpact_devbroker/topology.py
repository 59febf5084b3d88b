"""The topology: the existing exchanges, queues and bindings, and the checks of new declarations.

A repeated equal declaration changes nothing; a different declaration is a 406 (AMQP 0-9-1, 1.7.2.1). Callers pass the
client's methods unchanged. A method that must survive the process is recorded in `noted`.
"""

from pamqp import base, commands, constants

from mailpact_devbroker import frames, queues, routing
from mailpact_devbroker.changes import Change, Declared, Undeclared
from mailpact_devbroker.errors import AmqpError, locked, not_found, unsupported
from mailpact_devbroker.queues import Queue
from mailpact_devbroker.routing import Binding, Exchange, ExchangeType

Declaration = (
    commands.Exchange.Declare | commands.Exchange.Bind | commands.Queue.Declare | commands.Queue.Bind
)
_Binder = commands.Queue.Bind | commands.Queue.Unbind | commands.Exchange.Bind | commands.Exchange.Unbind

_LONGEST_NAME = 127  # characters: pamqp's limit


class Topology:
    """All declared exchanges, queues and bindings of the only virtual host `/`.

    The owner of this object reads `noted`.
    """

    def __init__(self, noted: list[Change]) -> None:
        self.exchanges: dict[str, Exchange] = routing.standard_exchanges()
        self.queues: dict[str, Queue] = {}
        self._noted = noted

    def exchange(self, name: str) -> Exchange:
        """Return an exchange; raises 404 if it does not exist."""
        if name not in self.exchanges:
            raise not_found("exchange", name)
        return self.exchanges[name]

    def queue(self, name: str, owner: int) -> Queue:
        """Return a queue that this connection may use.

        Raises 404, and 405 if the queue is exclusive to another connection.
        """
        queue = self.queues.get(name)
        if queue is None:
            raise not_found("queue", name)
        if queue.owner not in (None, owner):
            raise locked(name)
        return queue

    def declare_exchange(self, method: commands.Exchange.Declare) -> None:
        """Declare an exchange, or check that it exists if the method is passive.

        Raises:
            AmqpError: 404 if the method is passive and the exchange is missing, 403 for a reserved name, 406 for an
                unknown or a different type, 540 for arguments and for an internal exchange.
        """
        name = method.exchange
        _refuse_default(name)
        if method.passive:
            self.exchange(name)
            return
        if method.exchange_type not in list(ExchangeType):
            raise AmqpError(406, f"invalid exchange type '{method.exchange_type:.40}'")
        wanted = Exchange(name, ExchangeType(method.exchange_type), method.durable, method.auto_delete)
        if name in self.exchanges:
            _assert_same_exchange(method, self.exchanges[name])
            return
        _refuse_unsupported(method)
        _check_name("exchange", name)
        self.exchanges[name] = wanted
        if wanted.durable:
            self._note(f"exchange {name}", method)

    def delete_exchange(self, name: str, *, if_unused: bool) -> None:
        """Delete an exchange with its bindings. A missing exchange is no error.

        Raises:
            AmqpError: 403 for a predefined exchange, 406 if `if_unused` is set and the exchange has
                bindings to queues or exchanges.
        """
        _refuse_default(name)
        if name.startswith("amq."):
            raise AmqpError(403, f"deletion of system exchange '{name}' in vhost '/' not allowed")
        if name not in self.exchanges:
            return
        if if_unused and self.exchanges[name].bindings:
            raise AmqpError(406, f"exchange '{name}' in vhost '/' in use")
        self._drop_exchange(self.exchanges[name])

    def declare_queue(self, method: commands.Queue.Declare, owner: int) -> Queue:
        """Declare a queue, or check that it exists if the method is passive.

        Raises:
            AmqpError: 404 if the method is passive and the queue is missing, 403 for a reserved name, 405 and 406 if
                the existing queue differs, 406 for a property that a quorum queue cannot have, 540 for arguments.
        """
        name, arguments = method.queue, method.arguments or {}
        if name.startswith("amq.rabbitmq.reply-to"):
            raise unsupported("direct reply-to")
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
        """Remove a queue and the bindings to it."""
        del self.queues[queue.name]
        self._remove_bindings_to(queue.name, to_exchange=False)
        self._noted.append(Undeclared(f"queue {queue.name}"))

    def bind(self, method: commands.Queue.Bind | commands.Exchange.Bind, owner: int) -> None:
        """Bind an existing queue or exchange to an exchange. A repeated binding changes nothing."""
        exchange, binding, survives = self._binding(method, owner)
        if binding in exchange.bindings:
            return
        exchange.bindings[binding] = method.arguments or {}
        if exchange.durable and survives:
            self._note(_key(exchange, binding), method)

    def unbind(self, method: commands.Queue.Unbind | commands.Exchange.Unbind, owner: int) -> None:
        """Remove a binding. A missing binding, queue or exchange is no error.

        Raises:
            AmqpError: 403 for the default exchange, 405 for another connection's exclusive queue.
        """
        try:
            exchange, binding, _ = self._binding(method, owner)
        except AmqpError as error:
            if error.code == 404:
                return
            raise
        if binding in exchange.bindings:
            self._remove(exchange, binding)

    def _binding(self, method: _Binder, owner: int) -> tuple[Exchange, Binding, bool]:
        """Return the source exchange, the binding, and whether the binding's target survives the process."""
        match method:
            case commands.Queue.Bind() | commands.Queue.Unbind():
                queue = self.queue(method.queue, owner)
                source, target, survives, to_exchange = method.exchange, queue.name, queue.survives, False
                _refuse_default(source)
            case _:
                source, target, to_exchange = method.source, method.destination, True
                _refuse_default(source)
                _refuse_default(target)
                survives = self.exchange(target).durable
        exchange = self.exchange(source)
        arguments = routing.encoded_arguments(method.arguments or {}, exchange)
        return exchange, Binding(target, method.routing_key, arguments, to_exchange), survives

    def _note(self, key: str, method: Declaration) -> None:
        method.ticket = 0  # AMQP 0-9-1 ignores the ticket, and pamqp refuses to encode another value
        self._noted.append(Declared(key, frames.encode_method(method)))

    def _remove(self, exchange: Exchange, binding: Binding) -> None:
        """Remove a binding. An auto-delete exchange is deleted with its last binding."""
        del exchange.bindings[binding]
        self._noted.append(Undeclared(_key(exchange, binding)))
        if exchange.auto_delete and not exchange.bindings and exchange.name in self.exchanges:
            self._drop_exchange(exchange)

    def _remove_bindings_to(self, target: str, *, to_exchange: bool) -> None:
        for exchange in list(self.exchanges.values()):
            for binding in list(exchange.bindings):
                if (binding.target, binding.to_exchange) == (target, to_exchange):
                    self._remove(exchange, binding)

    def _drop_exchange(self, exchange: Exchange) -> None:
        del self.exchanges[exchange.name]
        for binding in list(exchange.bindings):
            self._remove(exchange, binding)
        self._remove_bindings_to(exchange.name, to_exchange=True)
        self._noted.append(Undeclared(f"exchange {exchange.name}"))


def replay(topology: Topology, method: base.Frame) -> None:
    """Execute a declaration from the journal again."""
    match method:
        case commands.Exchange.Declare():
            topology.declare_exchange(method)
        case commands.Queue.Declare():
            topology.declare_queue(method, 0)
        case commands.Queue.Bind() | commands.Exchange.Bind():
            topology.bind(method, 0)
        case _:
            raise AmqpError(503, f"{method.name} declares nothing")


def _key(exchange: Exchange, binding: Binding) -> str:
    """Return a binding's key in the journal.

    The key of a binding to a queue must stay as the first release wrote it.
    """
    kind = "exchange" if binding.to_exchange else "queue"
    target = f"{kind}={binding.target!r}, routing_key={binding.routing_key!r}"
    return f"binding {exchange.name!r} Binding({target}, arguments={binding.arguments!r})"


def _refuse_default(exchange: str) -> None:
    if not exchange:
        raise AmqpError(403, "operation not permitted on the default exchange")


def _refuse_unsupported(method: commands.Exchange.Declare) -> None:
    if method.arguments:
        raise unsupported(f"exchange argument '{next(iter(method.arguments))}'")
    if method.internal:
        raise unsupported("an internal exchange")


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
    queues.assert_same("auto_delete", where, method.auto_delete, current.auto_delete)
    queues.assert_same("internal", where, method.internal, current=False)


def _assert_quorum_can(method: commands.Queue.Declare) -> None:
    wrong = (
        ("auto-delete", method.auto_delete),
        ("exclusive-owner", method.exclusive),
        ("non-durable", not method.durable),
    )
    for what in (name for name, asked in wrong if asked):
        raise AmqpError(406, f"invalid property '{what}' for queue '{method.queue}' in vhost '/'")
