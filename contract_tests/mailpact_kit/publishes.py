"""Compare a producer's published messages with its contract. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from mailpact.contracts.catalogue import Contract, Property
from mailpact.contracts.errors import Refusal
from mailpact.contracts.parse import JsonValue, parse
from mailpact.contracts.validate import Validator
from mailpact_kit.cases import Observation, ProducerCase
from mailpact_kit.judge import shown
from mailpact_kit.ledger import Publication

CLOCK_TOLERANCE = timedelta(minutes=5)
UNIQUE = "message_id"  # the only property whose values must be unique


@dataclass(frozen=True, slots=True)
class Asked:
    """What a producer was asked to mail. `message` is None if the trigger has no placeholder for a text."""

    recipient: str
    message: str | None
    nonce: str


def judge_publishes(
    does: ProducerCase,
    asked: Asked,
    everything: Sequence[Publication],
    contracts: Sequence[Contract],
    now: datetime,
) -> list[str]:
    """Return the problems of the messages published for a request. `everything` is all that the producer published.

    Each message is judged by the contract that its `type` property names, or by the first of `contracts`. Messages to
    other exchanges that do not belong to the request, such as log records, are not judged.
    """
    published = about(everything, asked)
    exchanges = {each.wire.exchange for each in contracts}
    everything = [
        each for each in everything if each in published or each.event.arguments.get("exchange") in exchanges
    ]
    if not published:
        return ["nothing was published for the request"]
    problems: list[str] = []
    for observation in does.observe:
        if observation is Observation.CONFIRM_MODE_FIRST:
            problems += _judge_confirms(everything)
        elif observation is Observation.PROPERTIES:
            problems += _judge_properties(does.properties, published, everything, contracts, now)
        else:
            problems += _judge_published(observation, asked, published, contracts)
    return problems


def _judge_published(
    observation: Observation, asked: Asked, published: Sequence[Publication], contracts: Sequence[Contract]
) -> list[str]:
    match observation:
        case Observation.ONE_PUBLISH:
            return _judge_count(published, contracts)
        case Observation.VALID_BODY:
            return [
                problem for each in published for problem in _judge_body(each, _its_contract(each, contracts))
            ]
        case Observation.FIELDS_EQUAL_INPUT:
            return [
                problem
                for each in published
                for problem in _judge_fields(each, asked, _its_contract(each, contracts))
            ]
        case Observation.MANDATORY:
            return _judge_mandatory(published)
        case Observation.NO_ENCODING:
            return _judge_encoding(published, contracts)
        case Observation.CONFIRM_MODE_FIRST | Observation.PROPERTIES:
            raise ValueError(f"{observation} is judged on everything")
        case _:
            assert_never(observation)


def _judge_properties(
    names: Sequence[str],
    published: Sequence[Publication],
    everything: Sequence[Publication],
    contracts: Sequence[Contract],
    now: datetime,
) -> list[str]:
    problems = [
        problem
        for each in published
        for wanted in _its_contract(each, contracts).wire.properties
        if wanted.name in names
        for problem in _judge_property(wanted, each, now)
    ]
    return problems + (judge_unique(everything) if UNIQUE in names else [])


def about(everything: Sequence[Publication], asked: Asked) -> list[Publication]:
    """Return the messages that were published for a request."""
    return [each for each in everything if asked.nonce.encode() in each.event.body]


def _its_contract(published: Publication, contracts: Sequence[Contract]) -> Contract:
    named = published.event.properties.get("type")
    return next((each for each in contracts if each.wire.type == named), contracts[0])


def _judge_count(published: Sequence[Publication], contracts: Sequence[Contract]) -> list[str]:
    problems = []
    if len(published) != 1:
        problems.append(f"{len(published)} messages were published instead of one")
    for each in published:
        binding = _its_contract(each, contracts).wire
        exchange, key = each.event.arguments.get("exchange"), each.event.arguments.get("routing_key")
        if exchange != binding.exchange or key not in binding.routing_keys:
            problems.append(
                f"the message was published to exchange {shown(exchange)} with key {shown(key)} instead of to "
                f"{binding.exchange!r} with {' or '.join(map(repr, binding.routing_keys))}"
            )
    return problems


def _judge_body(published: Publication, contract: Contract) -> list[str]:
    body = published.event.body
    value = _parsed(body, contract)
    refusal = value if isinstance(value, Refusal) else Validator(contract.writer_schema).check(value)
    if refusal is None:
        return []
    place = f" at {refusal.pointer!r}" if refusal.code == "schema" else ""
    return [
        f"the body {shown(body)} does not obey writer.schema.json: {refusal.code}{place}, {refusal.detail}"
    ]


def _judge_fields(published: Publication, asked: Asked, contract: Contract) -> list[str]:
    value = _parsed(published.event.body, contract)
    address, text = ("email", "message") if contract.major == 1 else ("to", "text")
    if not isinstance(value, dict):
        return [f"the body has no members {address} and {text} to compare"]
    recipient: JsonValue = asked.recipient if contract.major == 1 else [{"address": asked.recipient}]
    wanted = {address: recipient} | ({} if asked.message is None else {text: asked.message})
    return [
        f"{name} is {shown(value.get(name))} instead of {shown(expected)}"
        for name, expected in wanted.items()
        if _without_names(value.get(name)) != expected
    ]


def _without_names(value: JsonValue) -> JsonValue:
    """Return the mailboxes of `email/2` with their addresses only; return any other value unchanged."""
    if not isinstance(value, list):
        return value
    return [{"address": each.get("address")} if isinstance(each, dict) else each for each in value]


def _judge_confirms(everything: Sequence[Publication]) -> list[str]:
    unconfirmed = [each.event for each in everything if not each.is_confirming]
    if not unconfirmed:
        return []
    first = unconfirmed[0]
    place = f"the first on connection {first.connection}, channel {first.channel}"
    return [f"{len(unconfirmed)} publishes came on a channel without confirm.select before them, {place}"]


def _judge_mandatory(published: Sequence[Publication]) -> list[str]:
    if all(each.event.arguments.get("mandatory") for each in published):
        return []
    return [
        "the message was not published as mandatory: a message that reaches no queue would be lost without notice"
    ]


def _judge_encoding(published: Sequence[Publication], contracts: Sequence[Contract]) -> list[str]:
    problems = set()
    for each in published:
        allowed = _its_contract(each, contracts).wire.content_encodings
        encoding = each.event.properties.get("content_encoding")
        if encoding is not None and encoding not in allowed:
            problems.add(
                f"content_encoding is {shown(encoding)}: readers take {' or '.join(allowed)} or none"
            )
    return sorted(problems)


def _judge_property(wanted: Property, published: Publication, now: datetime) -> list[str]:
    value = published.event.properties.get(wanted.name)
    if value is None:
        return [f"{wanted.name} is missing: {wanted.meaning}"]
    if wanted.value is not None and not _is_value(wanted, value):
        return [f"{wanted.name} is {shown(value)} instead of {shown(wanted.value)}"]
    if wanted.pattern is not None and not re.search(wanted.pattern, str(value)):
        return [f"{wanted.name} is {shown(value)}, which does not match {wanted.pattern}"]
    if wanted.name == "timestamp" and not isinstance(value, datetime):
        return [f"timestamp is {value}, which is no time in seconds since 1970 (milliseconds?)"]
    if isinstance(value, datetime) and abs(value - now) > CLOCK_TOLERANCE:
        return [f"{wanted.name} is {value.isoformat()}, which is not the time of the request"]
    return []


def _is_value(wanted: Property, value: object) -> bool:
    """Return whether a property has the only allowed value. Parameters of a content type are ignored."""
    if wanted.name == "content_type":
        return str(value).partition(";")[0].strip().lower() == wanted.value
    return value == wanted.value


def judge_unique(everything: Sequence[Publication]) -> list[str]:
    """Return a problem if two different bodies have the same id. The same body again is a repeated publish."""
    bodies: dict[object, set[bytes]] = {}
    for each in everything:
        bodies.setdefault(each.event.properties.get(UNIQUE), set()).add(each.event.body)
    shared = [key for key, found in bodies.items() if key is not None and len(found) > 1]
    return [f"{UNIQUE} {shown(key)} was used for {len(bodies[key])} different messages" for key in shared]


def _parsed(body: bytes, contract: Contract) -> JsonValue | Refusal:
    limits = contract.wire.limits
    return parse(body, max_bytes=limits.max_body_bytes, max_depth=limits.max_depth)
