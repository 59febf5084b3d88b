"""Compares what was seen with what a case expects. Pure: values in, problems out, each one sentence for people."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from mailpact.contracts.catalogue import Contract
from mailpact.contracts.errors import Refusal
from mailpact.contracts.parse import JsonValue, parse
from mailpact.contracts.validate import Validator
from mailpact_kit.cases import LetterExpected, MailExpected, Observation
from mailpact_kit.mail import Mail, Unreadable, is_same_text, text_of
from mailpact_kit.messages import Letter, Sent
from mailpact_kit.trace import Event, Settled, is_in_confirm_mode, publishes

SHOWN_CHARACTERS = 200
WRITTEN_BY_BROKER = (
    "the dead letter was written by the broker, which knows no reason (it has x-death and no x-error-code): "
    "publish the letter with its reason, wait for the confirm, then ack"
)


@dataclass(frozen=True, slots=True)
class Seen:
    """All that came of one message to a consumer."""

    mails: Sequence[Mail]
    letters: Sequence[Letter]
    deliveries: int
    settled: Settled | None


@dataclass(frozen=True, slots=True)
class Asked:
    """What a producer was asked to mail; `message` is None if the trigger has no place for a text."""

    recipient: str
    message: str | None
    nonce: str


def judge_message(sent: Sent, seen: Seen) -> list[str]:
    """Say what is wrong with what came of a message to a consumer."""
    match sent.expected:
        case MailExpected():
            problems = _judge_mail(sent, sent.expected, seen)
        case LetterExpected():
            problems = _judge_letter(sent, sent.expected, seen)
        case _:
            assert_never(sent.expected)
    return problems + _judge_settling(seen)


def _judge_mail(sent: Sent, expected: MailExpected, seen: Seen) -> list[str]:
    problems = [f"a dead letter came: {_about_letter(letter)}" for letter in seen.letters]
    if len(seen.mails) != 1:
        return [*problems, f"{len(seen.mails) or 'no'} mails came instead of one"]
    mail = seen.mails[0]
    if mail.recipients != (sent.recipient,):
        problems.append(f"the mail went to {', '.join(mail.recipients)} instead of to {sent.recipient} alone")
    text = text_of(mail)
    if isinstance(text, Unreadable):
        problems.append(text.reason)
    elif not is_same_text(text, expected.text):
        problems.append(f"the mail's text is {shown(text)} instead of {shown(expected.text)}")
    return problems


def _judge_letter(sent: Sent, expected: LetterExpected, seen: Seen) -> list[str]:
    problems = [f"a mail went out, to {', '.join(map(shown, mail.recipients))}" for mail in seen.mails]
    if len(seen.letters) != 1:
        return [*problems, f"{len(seen.letters) or 'no'} dead letters came instead of one"]
    letter = seen.letters[0]
    if letter.body != sent.body:
        problems.append(f"the dead letter's body is {shown(letter.body)} instead of what was sent")
    problems += _judge_reason(expected, letter)
    if expected.keeps_properties:
        problems += _judge_properties(sent.properties, letter)
    return problems


def _judge_reason(expected: LetterExpected, letter: Letter) -> list[str]:
    if "x-error-code" not in letter.headers and "x-death" in letter.headers:
        return [WRITTEN_BY_BROKER]
    wanted = {
        "x-error-code": expected.code,
        "x-error-pointer": expected.pointer,
        "x-error-keyword": expected.keyword,
    }
    return [
        f"the dead letter has {name} {_header(letter, name)} instead of {shown(text)}"
        for name, text in wanted.items()
        if text is not None and letter.headers.get(name) != text
    ]


def _judge_properties(sent: Mapping[str, object], letter: Letter) -> list[str]:
    problems = []
    for name, value in sent.items():
        kept = letter.headers if name == "headers" else letter.properties.get(name)
        # A letter has headers of its own beside the publisher's.
        is_kept = kept == value or (isinstance(value, dict) and value.items() <= letter.headers.items())
        if not is_kept:
            problems.append(f"the dead letter has {name} {shown(kept)} instead of {shown(value)}")
    return problems


def _judge_settling(seen: Seen) -> list[str]:
    if seen.settled is not None:
        return []
    if not seen.deliveries:
        return ["the message was never delivered to the program: it does not take what waits in its queue"]
    times = "once" if seen.deliveries == 1 else f"{seen.deliveries} times"
    return [f"the message was delivered {times} and never acknowledged"]


def judge_publishes(
    observe: Sequence[Observation], asked: Asked, events: Sequence[Event], contract: Contract
) -> list[str]:
    """Say what is wrong with what a producer published."""
    published = publishes(events, asked.nonce.encode())
    if not published:
        return ["nothing was published for the request"]
    problems: list[str] = []
    for observation in observe:
        match observation:
            case Observation.ONE_PUBLISH:
                problems += _judge_count(published, contract)
            case Observation.VALID_BODY:
                problems += [problem for event in published for problem in _judge_body(event, contract)]
            case Observation.FIELDS_EQUAL_INPUT:
                problems += [
                    problem for event in published for problem in _judge_fields(event, asked, contract)
                ]
            case Observation.CONFIRM_MODE_FIRST:
                problems += _judge_confirms(events)
            case _:
                assert_never(observation)
    return problems


def _judge_count(published: Sequence[Event], contract: Contract) -> list[str]:
    binding = contract.wire
    problems = []
    if len(published) != 1:
        problems.append(f"{len(published)} messages were published instead of one")
    for event in published:
        exchange, key = event.arguments.get("exchange"), event.arguments.get("routing_key")
        if exchange != binding.exchange or key not in binding.routing_keys:
            problems.append(
                f"it was published to exchange {shown(exchange)} with key {shown(key)} instead of to "
                f"{binding.exchange!r} with {' or '.join(map(repr, binding.routing_keys))}"
            )
    return problems


def _judge_body(event: Event, contract: Contract) -> list[str]:
    value = _parsed(event, contract)
    refusal = value if isinstance(value, Refusal) else Validator(contract.writer_schema).check(value)
    if refusal is None:
        return []
    place = f" at {refusal.pointer!r}" if refusal.code == "schema" else ""
    return [
        f"the body {shown(event.body)} does not obey writer.schema.json: {refusal.code}{place}, {refusal.detail}"
    ]


def _judge_fields(event: Event, asked: Asked, contract: Contract) -> list[str]:
    value = _parsed(event, contract)
    if not isinstance(value, dict):
        return ["the body has no members email and message to compare"]
    wanted = {"email": asked.recipient} | ({} if asked.message is None else {"message": asked.message})
    return [
        f"{name} is {shown(value.get(name))} instead of {shown(text)}"
        for name, text in wanted.items()
        if value.get(name) != text
    ]


def _judge_confirms(events: Sequence[Event]) -> list[str]:
    unconfirmed = [event for event in publishes(events) if not is_in_confirm_mode(events, event)]
    if not unconfirmed:
        return []
    first = unconfirmed[0]
    place = f"the first on connection {first.connection}, channel {first.channel}"
    return [f"{len(unconfirmed)} publishes came on a channel without confirm.select before them, {place}"]


def _parsed(event: Event, contract: Contract) -> JsonValue | Refusal:
    limits = contract.wire.limits
    return parse(event.body, max_bytes=limits.max_body_bytes, max_depth=limits.max_depth)


def _about_letter(letter: Letter) -> str:
    code, detail = letter.headers.get("x-error-code"), letter.headers.get("x-error-detail")
    return f"{code}, {detail}" if code else "without a reason of the program's own (x-error-code)"


def _header(letter: Letter, name: str) -> str:
    return shown(letter.headers[name]) if name in letter.headers else "(none)"


def shown(value: object) -> str:
    """Write a value for people: everything beyond visible ASCII escaped, and not too long."""
    text = ascii(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}… ({len(text)} characters)"
