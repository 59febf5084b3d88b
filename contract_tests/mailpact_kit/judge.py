"""Compare what was observed with what a case expects. Pure; each problem is one sentence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from mailpact_kit.cases import LetterExpected, MailExpected, NotLost
from mailpact_kit.ledger import Settled
from mailpact_kit.mail import Mail, Unreadable, is_same_text, text_of
from mailpact_kit.messages import Letter, Sent

SHOWN_CHARACTERS = 200
WRITTEN_BY_BROKER = (
    "the dead letter was written by the broker, which knows no reason (it has x-death and no x-error-code): "
    "publish the letter with its reason, wait for the confirm, then ack"
)


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything that was observed of one message to a consumer."""

    mails: Sequence[Mail]
    letters: Sequence[Letter]
    deliveries: int
    settled: Settled | None
    put_off: int = 0
    """How many copies of the message the program published elsewhere, each with the broker's confirm."""


def judge_message(sent: Sent, seen: Seen) -> list[str]:
    """Return the problems of one message to a consumer."""
    match sent.expected:
        case MailExpected():
            problems = _judge_mail(sent, sent.expected, seen)
        case LetterExpected():
            problems = judge_letter(sent, sent.expected, seen)
        case NotLost():
            return judge_not_lost(seen)
        case _:
            assert_never(sent.expected)
    return problems + _judge_settling(seen)


def judge_not_lost(seen: Seen) -> list[str]:
    """Return a problem if a message was acknowledged without a mail, a dead letter or a copy for a later try."""
    if seen.settled is None:
        return [] if seen.deliveries else _judge_settling(seen)
    if seen.settled is Settled.REJECTED or seen.mails or seen.letters or seen.put_off:
        return []
    return [
        "the message is lost: it was acknowledged without a mail, a dead letter or a confirmed copy for a later try"
    ]


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


def judge_letter(sent: Sent, expected: LetterExpected, seen: Seen) -> list[str]:
    """Return the problems of the dead letter of a message that must be refused."""
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
        # A dead letter has the publisher's headers and its own headers.
        is_kept = kept == value or (isinstance(value, dict) and value.items() <= letter.headers.items())
        if not is_kept:
            problems.append(f"the dead letter has {name} {shown(kept)} instead of {shown(value)}")
    return problems


def _judge_settling(seen: Seen) -> list[str]:
    if seen.settled is not None:
        return []
    if not seen.deliveries:
        return ["the message was never delivered to the program, which does not consume from its queue"]
    times = "once" if seen.deliveries == 1 else f"{seen.deliveries} times"
    return [f"the message was delivered {times} and never acknowledged"]


def _about_letter(letter: Letter) -> str:
    code, detail = letter.headers.get("x-error-code"), letter.headers.get("x-error-detail")
    return f"{code}, {detail}" if code else "without a reason of the program's own (x-error-code)"


def _header(letter: Letter, name: str) -> str:
    return shown(letter.headers[name]) if name in letter.headers else "(none)"


def shown(value: object) -> str:
    """Return a value as text of at most 200 characters, with everything but visible ASCII escaped."""
    text = ascii(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}… ({len(text)} characters)"
