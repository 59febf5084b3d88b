"""Writes the contracts as an AsyncAPI 3 document, for tools that read this format.

An exchange with a routing key is a channel. Publishing by writers and receiving by readers are operations. The schemas
for writers and for readers are two messages. Extensions hold what AsyncAPI has no field for:

    x-mailpact-properties     AMQP properties that writers must set, and their values
    x-mailpact-limits         the largest body and headers, and the deepest nesting
    x-mailpact-readers        what readers accept in addition to what writers send
    x-mailpact-publish        publisher confirms, and whether to publish as mandatory
    x-mailpact-queues         the queues of a channel, and their dead-letter exchanges
    x-mailpact-errors         why a message is refused, and what its publisher should do
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mailpact.contracts.parse import JsonObject, JsonValue
from mailpact_contract_tool.publish.bundle import key, with_references
from mailpact_contract_tool.publish.described import Described

SCHEMA_FORMAT = "application/schema+json;version=draft-2020-12"
_AMQP = {"bindingVersion": "0.3.0"}
# in a routing key: a placeholder for the value of this member of the body
_MEMBER = re.compile(r"\{/([^{}/]+)\}")
_SIDES = {"writer": "send", "reader": "receive"}


def document(contracts: Sequence[Described], published: Mapping[str, bytes], *, release: str) -> JsonObject:
    """Return the document; `published` has topology.json and errors.json, `release` is Mailpact's version."""
    topology, errors = (json.loads(published[name]) for name in ("topology.json", "errors.json"))
    travelling = [contract for contract in contracts if contract.binding is not None]
    return {
        "asyncapi": "3.1.0",
        "info": {
            "title": "Mailpact",
            "version": release,
            "description": "Mail over a message queue: publish a small JSON message, get exactly the mail it promises.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": dict(_channels(travelling, topology)),
        "operations": dict(_operations(travelling)),
        "components": {
            "messages": dict(_messages(travelling)),
            "schemas": dict(_schemas(travelling)),
        },
        "x-mailpact-errors": errors["errors"],
    }


def _channel_name(contract: Described) -> str:
    """Return the name of a channel: its exchange, and its routing key if it has one."""
    binding = contract.wire
    return ".".join(
        filter(None, (binding["exchange"], _MEMBER.sub(r"\1", binding["writers"]["routing_key"])))
    )


def _channels(contracts: Sequence[Described], topology: dict[str, Any]) -> Iterator[tuple[str, JsonObject]]:
    for name in dict.fromkeys(map(_channel_name, contracts)):
        sharing = [contract for contract in contracts if _channel_name(contract) == name]
        yield name, _channel(sharing, topology)


def _channel(contracts: Sequence[Described], topology: dict[str, Any]) -> JsonObject:
    """Return the channel of `contracts`, which share an exchange and a routing key."""
    binding = contracts[0].wire
    routing_key = binding["writers"]["routing_key"]
    exchange = _exchange(binding["exchange"], topology)
    messages = [message for contract in contracts for message in _message_names(contract).values()]
    parameters: JsonObject = {
        member: _parameter(member, contracts[0]) for member in _MEMBER.findall(routing_key)
    }
    return {
        "address": _MEMBER.sub(r"{\1}", routing_key),
        "description": exchange.get("purpose", ""),
        "messages": {message: {"$ref": f"#/components/messages/{message}"} for message in messages},
        **({"parameters": parameters} if parameters else {}),
        "bindings": {"amqp": {"is": "routingKey", "exchange": _exchange_binding(exchange), **_AMQP}},
        "x-mailpact-queues": list(_queues(binding["exchange"], topology)),
    }


def _exchange_binding(exchange: dict[str, Any]) -> JsonObject:
    return {**{word: exchange[word] for word in ("name", "type", "durable")}, "autoDelete": False}


def _parameter(member: str, contract: Described) -> JsonObject:
    members: Any = contract.schemas["writer"].get("properties", {})
    schema = members.get(member, {})
    parameter: JsonObject = {"location": f"$message.payload#/{member}"}
    if "description" in schema:
        parameter["description"] = schema["description"]
    if "enum" in schema:
        parameter["enum"] = schema["enum"]
    return parameter


def _queues(exchange: str, topology: dict[str, Any]) -> Iterator[JsonObject]:
    for queue in topology["queues"]:
        keys = [
            route["routing_key"]
            for route in topology["bindings"]
            if (route["exchange"], route["queue"]) == (exchange, queue["name"])
        ]
        if keys:
            yield {
                **{word: queue[word] for word in ("name", "purpose", "arguments") if word in queue},
                "routing_keys": keys,
            }


def _operations(contracts: Sequence[Described]) -> Iterator[tuple[str, JsonObject]]:
    for contract in contracts:
        binding = contract.wire
        channel = f"#/channels/{_channel_name(contract)}"
        for side, action in _SIDES.items():
            operation: JsonObject = {
                "action": action,
                "title": f"{contract.name}, for {side}s",
                "channel": {"$ref": channel},
                "messages": [{"$ref": f"{channel}/messages/{_message_names(contract)[side]}"}],
                "bindings": {
                    "amqp": {**(_publishing(contract) if side == "writer" else {"ack": True}), **_AMQP}
                },
            }
            if side == "writer":
                operation["x-mailpact-publish"] = {"confirms": True, "mandatory": contract.is_mandatory}
            else:
                operation["x-mailpact-readers"] = binding["readers"]
            yield f"{action}-{key(contract.name)}", operation


def _publishing(contract: Described) -> JsonObject:
    properties = {row["name"]: row for row in contract.wire["properties"]}
    publishing: JsonObject = {
        "mandatory": contract.is_mandatory,
        "timestamp": "timestamp" in properties,
    }
    mode = properties.get("delivery_mode", {}).get("value")
    return publishing if mode is None else {"deliveryMode": mode, **publishing}


def _messages(contracts: Sequence[Described]) -> Iterator[tuple[str, JsonObject]]:
    for contract in contracts:
        binding = contract.wire
        for side, name in _message_names(contract).items():
            schema = contract.schemas[side]
            message: JsonObject = {
                "name": binding["type"],
                "title": schema.get("title", name),
                "summary": schema.get("description", ""),
                "contentType": binding["writers"]["content_type"],
                "headers": _headers(binding),
                "payload": {"$ref": f"#/components/schemas/{name}"},
                "bindings": {"amqp": {"messageType": binding["type"], **_AMQP}},
                "x-mailpact-contract": {"name": contract.name, "version": contract.version, "side": side},
                "x-mailpact-properties": binding["properties"],
                "x-mailpact-limits": binding["limits"],
            }
            examples: Any = schema.get("examples", [])
            if examples:
                message["examples"] = [{"payload": example} for example in examples]
            yield name, message


def _headers(binding: dict[str, Any]) -> JsonObject:
    """Return the schema of the AMQP headers that the binding names as `headers.…`."""
    rows = {row["name"].partition(".")[2]: row for row in binding["properties"] if "." in row["name"]}
    members: JsonObject = {
        name: {"type": "string", "description": row.get("meaning", "")} for name, row in rows.items()
    }
    demanded: list[JsonValue] = [name for name, row in rows.items() if row["writers"] == "required"]
    schema: JsonObject = {"type": "object", "properties": members}
    return {**schema, "required": demanded} if demanded else schema


def _schemas(contracts: Sequence[Described]) -> Iterator[tuple[str, JsonObject]]:
    for contract in contracts:
        for side, name in _message_names(contract).items():
            # References are resolved from the top of the document, not from the top of the schema.
            home = f"#/components/schemas/{name}/schema"
            yield name, {"schemaFormat": SCHEMA_FORMAT, "schema": _at_home(contract.schemas[side], home)}


def _at_home(schema: JsonObject, home: str) -> JsonObject:
    return with_references(schema, lambda reference: home + reference.removeprefix("#"))


def _message_names(contract: Described) -> dict[str, str]:
    return {side: f"{key(contract.name)}-{side}" for side in _SIDES}


def _exchange(name: str, topology: dict[str, Any]) -> dict[str, Any]:
    return next(row for row in topology["exchanges"] if row["name"] == name)
