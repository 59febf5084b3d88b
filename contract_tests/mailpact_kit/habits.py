"""Check the rules that hold for everything a consumer sends to the broker and to the mail server. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.parser import BytesHeaderParser
from email.policy import compat32
from email.utils import getaddresses, parsedate_tz

from mailpact_kit.cases import Habit
from mailpact_kit.ledger import Ledger, Publication
from mailpact_kit.mail import Mail
from mailpact_kit.trace import Event

SHOWN_PROBLEMS = 3


@dataclass(frozen=True, slots=True)
class Course:
    """Everything observed so far. `mails` are the accepted mails by message id, with times of the trace."""

    ledger: Ledger
    events: Sequence[Event]
    mails: Mapping[str, Sequence[Mail]]
    dead_exchange: str
    mail_from: str = ""


def judge_habits(habits: Sequence[Habit], course: Course) -> list[str]:
    """Return the problems by these rules, at most three for each rule."""
    return [problem for habit in habits for problem in _RULES[habit](course)[:SHOWN_PROBLEMS]]


def _acknowledges(course: Course) -> list[str]:
    asked = [*(each.event for each in course.ledger.subscriptions), *course.ledger.polls]
    return [
        f"{event.name} asks for no acknowledgement (no_ack): if the program ends, its messages are lost"
        for event in asked
        if event.arguments.get("no_ack")
    ]


def _ack_after_250(course: Course) -> list[str]:
    """Check that each ack follows the first mail. An ack after a confirmed copy for a later try is correct, too."""
    copies: dict[bytes, list[float]] = {}
    for each in course.ledger.publications:
        if each.confirmed_at is not None and each.event.arguments.get("exchange") != course.dead_exchange:
            copies.setdefault(each.event.body, []).append(each.confirmed_at)
    problems = []
    for message_id, deliveries in course.ledger.deliveries.items():
        acked = [
            each.settlement.at
            for each in deliveries
            if each.settlement is not None
            and each.settlement.name == "basic.ack"
            and not any(copied <= each.settlement.at for copied in copies.get(each.event.body, ()))
        ]
        mails = course.mails.get(message_id, ())
        if acked and mails and min(acked) < min(mail.at for mail in mails):
            early = min(mail.at for mail in mails) - min(acked)
            problems.append(
                f"message {message_id} was acknowledged {early:.3f} s before the mail server's 250"
            )
    return problems


def _letter_before_ack(course: Course) -> list[str]:
    problems = []
    letters: dict[object, list[Publication]] = {}
    for each in course.ledger.publications:
        if each.event.arguments.get("exchange") == course.dead_exchange:
            letters.setdefault(each.event.properties.get("message_id"), []).append(each)
    for message_id, found in letters.items():
        acked = [
            delivery.settlement.at
            for delivery in course.ledger.deliveries.get(str(message_id), ())
            if delivery.settlement is not None and delivery.settlement.name == "basic.ack"
        ]
        confirmed = [each.confirmed_at for each in found if each.confirmed_at is not None]
        if acked and not confirmed:
            problems.append(
                f"message {message_id} was acknowledged, but the broker never confirmed its dead letter"
            )
        elif acked and min(acked) < min(confirmed):
            problems.append(
                f"message {message_id} was acknowledged before the broker confirmed its dead letter"
            )
    return problems


def _prefetch_first(course: Course) -> list[str]:
    return [
        f"basic.consume on {each.event.arguments.get('queue')!r} came without a prefetch count (basic.qos): the broker "
        "sends the whole queue at once"
        for each in course.ledger.subscriptions
        if each.prefetch is None and not each.event.arguments.get("no_ack")
    ]


def _settles_once(course: Course) -> list[str]:
    return [
        f"{event.name} of delivery {event.arguments.get('delivery_tag')} on connection {event.connection}, channel "
        f"{event.channel}, which was settled before or never delivered there"
        for event in course.ledger.unknown_settlements
    ]


def _mail_fields(course: Course) -> list[str]:
    """Check the two fields that RFC 5322 requires (3.6): Date and From."""
    problems = []
    for message_id, mails in course.mails.items():
        for mail in mails:
            fields = BytesHeaderParser(policy=compat32).parsebytes(mail.content)
            senders = [address for _, address in getaddresses(list(map(str, fields.get_all("From", []))))]
            if senders != [course.mail_from]:
                named = ", ".join(senders) or "nobody"
                problems.append(
                    f"the mail of message {message_id} is From {named} instead of {course.mail_from}"
                )
            dates = fields.get_all("Date", [])
            if len(dates) != 1 or parsedate_tz(str(dates[0])) is None:
                problems.append(f"the mail of message {message_id} has {_dates(dates)} instead of one Date")
    return problems


def _dates(dates: Sequence[object]) -> str:
    if len(dates) == 1:
        return f"the Date {str(dates[0])!r}"
    return f"{len(dates) or 'no'} fields Date"


_RULES: Mapping[Habit, Callable[[Course], list[str]]] = {
    Habit.ACKNOWLEDGES: _acknowledges,
    Habit.ACK_AFTER_250: _ack_after_250,
    Habit.LETTER_BEFORE_ACK: _letter_before_ack,
    Habit.PREFETCH_FIRST: _prefetch_first,
    Habit.SETTLES_ONCE: _settles_once,
    Habit.MAIL_FIELDS: _mail_fields,
}
