"""A consumer's habits, such as its prefetch, are read from the whole conversation."""

import pytest

from mailpact_kit.cases import Habit
from mailpact_kit.habits import Course, judge_habits
from mailpact_kit.ledger import Ledger
from mailpact_kit.mail import Mail
from mailpact_kit.trace import Event, Speaker

ID = "6f1e0c1c-0000-4000-8000-000000000001"
PROGRAM, BROKER = Speaker.PROGRAM, Speaker.BROKER


def said(at: float, who: Speaker, name: str, **arguments: object) -> Event:
    """Return one event about the message."""
    exchange = arguments.pop("exchange", None)
    about = {"message_id": ID} if name in ("basic.deliver", "basic.publish") else {}
    return Event(at, 1, 1, who, name, arguments | ({} if exchange is None else {"exchange": exchange}), about)


DELIVERED = said(1.0, BROKER, "basic.deliver", delivery_tag=1)
LETTER = said(2.0, PROGRAM, "basic.publish", exchange="email.dlx")
COPY = said(2.0, PROGRAM, "basic.publish", exchange="email.retry")
SELECT = said(0.0, PROGRAM, "confirm.select")
CONFIRMED = said(3.0, BROKER, "basic.ack", delivery_tag=1, multiple=False)


def acked(at: float) -> Event:
    """Return the program's ack."""
    return said(at, PROGRAM, "basic.ack", delivery_tag=1, multiple=False)


@pytest.mark.parametrize(
    ("habit", "events", "problem"),
    [
        (Habit.ACKNOWLEDGES, [said(0, PROGRAM, "basic.consume", no_ack=False)], None),
        (Habit.ACKNOWLEDGES, [said(0, PROGRAM, "basic.consume", no_ack=True)], "no acknowledgement"),
        (Habit.ACKNOWLEDGES, [said(0, PROGRAM, "basic.get", no_ack=True)], "no acknowledgement"),
        (Habit.ACK_AFTER_250, [DELIVERED, acked(6.0)], None),
        (Habit.ACK_AFTER_250, [DELIVERED, acked(4.0)], "1.000 s before the mail server's 250"),
        (Habit.ACK_AFTER_250, [SELECT, DELIVERED, COPY, CONFIRMED, acked(4.0)], None),
        (Habit.ACK_AFTER_250, [DELIVERED, COPY, acked(4.0)], "before the mail server's 250"),
        (Habit.LETTER_BEFORE_ACK, [SELECT, DELIVERED, LETTER, CONFIRMED, acked(4.0)], None),
        (
            Habit.LETTER_BEFORE_ACK,
            [SELECT, DELIVERED, LETTER, acked(2.5), CONFIRMED],
            "before the broker confirmed",
        ),
        (Habit.LETTER_BEFORE_ACK, [DELIVERED, LETTER, acked(4.0)], "never confirmed"),
        (
            Habit.PREFETCH_FIRST,
            [said(0, PROGRAM, "basic.qos", prefetch_count=5), said(1, PROGRAM, "basic.consume")],
            None,
        ),
        (Habit.PREFETCH_FIRST, [said(0, PROGRAM, "basic.consume", queue="q")], "without a prefetch count"),
        (Habit.SETTLES_ONCE, [DELIVERED, acked(4.0)], None),
        (Habit.SETTLES_ONCE, [DELIVERED, acked(4.0), acked(5.0)], "settled before"),
    ],
)
def test_habits(habit: Habit, events: list[Event], problem: str | None) -> None:
    ledger = Ledger()
    for event in events:
        ledger.take(event)
    course = Course(ledger, events, {ID: [Mail(5.0, "s@x", ("a@x",), b"")]}, "email.dlx")

    problems = judge_habits([habit], course)

    assert [problem in found for found in problems if problem] == [True] * bool(problem)
    assert bool(problems) is bool(problem)
