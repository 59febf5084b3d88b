"""Rules about binding.json: it agrees with the contract's name, the readers, the topology and the vectors.

A key such as `{/event}` stands for the value of that member in the body. If the writers' schema lists the values, each
value is checked.
"""

import re
from collections.abc import Iterable, Iterator

from mailpact.contracts.catalogue import Binding, Exchange, Topology
from mailpact.contracts.parse import JsonObject
from mailpact_contract_tool.folder.documents import array_at, object_at
from mailpact_contract_tool.lint.rules import Fault, LintRule
from mailpact_contract_tool.lint.text_rules import written_faults
from mailpact_contract_tool.lint.topology_rules import exchange_of, matches, reached

_AMQP_PROPERTIES = frozenset(
    (
        *(
            "app_id",
            "cluster_id",
            "content_encoding",
            "content_type",
            "correlation_id",
            "delivery_mode",
            "expiration",
        ),
        *("message_id", "priority", "reply_to", "timestamp", "type", "user_id"),
    )
)
_HEADER = "headers."
_FROM_BODY = re.compile(r"\{/([^/}]+)\}")


def name_faults(binding: Binding, folder: str) -> Iterator[Fault]:
    """Compare what a binding states twice, and compare the binding with its folder."""
    if binding.contract != folder:
        yield Fault(
            LintRule.BINDING_DISAGREES, "/contract", f"says {binding.contract!r} and lies in {folder}"
        )
    name, _, major = folder.rpartition("/")
    if binding.type != f"{name}.v{major}":
        yield Fault(
            LintRule.BINDING_DISAGREES,
            "/type",
            f"is {binding.type!r}; the type of {folder} is {name}.v{major}",
        )
    stated = {"type": binding.type, "content_type": binding.content_type}
    for number, entry in enumerate(binding.properties):
        pointer = f"/properties/{number}"
        if entry.value is not None and entry.value != stated.get(entry.name, entry.value):
            yield Fault(
                LintRule.BINDING_DISAGREES,
                f"{pointer}/value",
                f"is {entry.value!r}, but the binding states {stated[entry.name]!r}",
            )
        if entry.name not in _AMQP_PROPERTIES and not entry.name.startswith(_HEADER):
            yield Fault(
                LintRule.BINDING_PROPERTY_UNKNOWN,
                f"{pointer}/name",
                f"AMQP has no property {entry.name!r}; a header is headers.NAME",
            )
        for fault in written_faults(entry.pattern, anchored=True) if entry.pattern is not None else ():
            yield Fault(fault.rule, f"{pointer}/pattern", fault.sentence)


def reader_faults(binding: Binding) -> Iterator[Fault]:
    """Compare what writers send with what readers accept."""
    if binding.content_type.lower() not in binding.content_types:
        yield Fault(
            LintRule.BINDING_CONTENT_TYPE_NOT_READ,
            "/writers/content_type",
            f"readers do not take {binding.content_type!r}",
        )


def route_faults(binding: Binding, topology: Topology, writer_schema: JsonObject) -> Iterator[Fault]:
    """Check that the exchange is declared and that published messages reach a queue.

    If `mandatory` is false, a message may reach no queue.
    """
    exchange = exchange_of(topology, binding.exchange)
    if exchange is None:
        yield Fault(
            LintRule.BINDING_EXCHANGE_UNKNOWN,
            "/exchange",
            f"topology.json declares no exchange {binding.exchange!r}",
        )
        return
    keys = tuple(_keys(binding.routing_key, writer_schema))
    for key in keys:
        if not any(matches(exchange.type, taken, key) for taken in binding.routing_keys):
            yield Fault(
                LintRule.BINDING_KEY_NOT_READ,
                "/writers/routing_key",
                f"readers take none of the keys that match {key!r}",
            )
    if binding.mandatory:
        yield from _unroutable(exchange, topology, keys, "/writers/routing_key")
        if exchange.type != "topic":
            yield from _unroutable(exchange, topology, binding.routing_keys, "/readers/routing_keys")


def _unroutable(exchange: Exchange, topology: Topology, keys: Iterable[str], pointer: str) -> Iterator[Fault]:
    for key in keys:
        if not reached(topology, exchange, key):
            yield Fault(
                LintRule.PUBLISHER_UNROUTABLE,
                pointer,
                f"what is published to {exchange.name!r} with the key {key!r} reaches no queue",
            )


def _keys(template: str, writer_schema: JsonObject) -> Iterator[str]:
    """Yield every key that writers use; nothing if the body decides and the schema lists no values."""
    found = _FROM_BODY.search(template)
    if found is None:
        yield template
        return
    described = object_at(object_at(writer_schema, "properties"), found[1])
    for value in array_at(described, "enum"):
        yield template.replace(found[0], str(value))


def untried_faults(binding: Binding, vectors: Iterable[JsonObject]) -> Iterator[Fault]:
    """Find properties that writers must set and that no vector leaves out."""
    sent = [_properties(vector) for vector in vectors]
    for number, entry in enumerate(binding.properties):
        if entry.writers == "required" and all(entry.name in names for names in sent):
            yield Fault(
                LintRule.BINDING_PROPERTY_UNTRIED,
                f"/properties/{number}/name",
                f"no vector leaves out {entry.name}; add one that says what readers do without it",
            )


def _properties(vector: JsonObject) -> set[str]:
    """Return the names of the properties that a vector is sent with; an empty property counts as missing."""
    properties = object_at(vector, "properties")
    sent: JsonObject = {"content_type": vector.get("content_type", "usual"), **properties}
    sent |= {f"{_HEADER}{name}": value for name, value in object_at(properties, "headers").items()}
    return {name for name, value in sent.items() if value not in (None, "")}
