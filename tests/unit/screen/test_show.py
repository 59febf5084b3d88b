"""What the screen of `mailpact status` says about each situation."""

from dataclasses import replace

import pytest

from mailpact_cli.screen.show import BAD, GOOD, UNSURE, as_text, duration, lines
from mailpact_cli.screen.situation import (
    Broker,
    ConsumerHealth,
    Inbox,
    Silent,
    SiteHealth,
    Situation,
    Unknown,
    as_json,
)

BROKER = Broker(server="RabbitMQ 3.10.8", waiting=12, consumers=2, dead=0)
INBOX = Inbox(
    server="10.11-MariaDB",
    revision="2.1",
    consumers=["a 1", "b 2"],
    oldest_seconds=123.4,
    deferred=4,
    overdue=0,
    sent=60,
    failed=0,
    expired=0,
)
CONSUMER = ConsumerHealth(
    address="10.0.0.1:9100", release="1.2.0", trouble=(), breaker_is_open=False, lost_log_records=0
)
SITE = SiteHealth(
    address="10.0.0.2:9100",
    release="1.2.0",
    trouble=(),
    mail_flows=True,
    mail_detail="",
    canary={"arrived_seconds_ago": 23.4},
    outbox_pending=1,
    outbox_oldest_seconds=0.0,
    lost_log_records=0,
)
WELL = Situation(
    at="2026-11-24T09:00:00Z", release="1.2.0", broker=BROKER, inbox=INBOX, services=[CONSUMER, SITE]
)


def test_a_system_that_is_well_is_told_line_by_line() -> None:
    assert list(lines(WELL, None)) == [
        ("backlog", "12 messages in email.work, 2 consumers", ""),
        ("rate", "60 sent, 0 failed, 0 expired in the last minute", ""),
        ("deferred", "4 mails waiting for the next try", ""),
        ("oldest", "2 min 3 s (inbox)", ""),
        ("dead", "no dead letters", ""),
        ("breaker", "closed: the mail server works", GOOD),
        ("canary", "green: mail flows, a canary arrived 23 s ago", GOOD),
        ("broker", "RabbitMQ 3.10.8", ""),
        ("inbox", "10.11-MariaDB, revision 2.1", ""),
        ("consumers", "a 1, b 2", ""),
        ("service", "10.0.0.1:9100 consumer 1.2.0, ready", GOOD),
        ("service", "10.0.0.2:9100 site 1.2.0, 1 message in the outbox, ready", GOOD),
    ]


OPEN = replace(
    CONSUMER, breaker_is_open=True, trouble=["mail server: connection refused", "consuming: paused"]
)
RED = replace(SITE, mail_flows=False, mail_detail="no canary has arrived", outbox_oldest_seconds=90_061.0)


@pytest.mark.parametrize(
    ("situation", "line"),
    [
        (replace(WELL, broker=replace(BROKER, consumers=0)),
         ("backlog", "12 messages in email.work, 0 consumers: no consumer receives messages", BAD)),
        (replace(WELL, broker=replace(BROKER, waiting=None)),
         ("backlog", "there is no queue email.work: no consumer has run yet", BAD)),
        (replace(WELL, broker=replace(BROKER, dead=1)),
         ("dead", "1 letter in email.dead: mailpact dead list shows them", BAD)),
        (replace(WELL, broker=Unknown("no answer in time")), ("broker", "cannot be asked: no answer in time", BAD)),
        (replace(WELL, broker=Unknown("x")), ("backlog", "not known: the broker does not answer", UNSURE)),
        (replace(WELL, broker=Unknown("x")), ("dead", "not known: the broker does not answer", UNSURE)),
        (replace(WELL, inbox=Unknown("x")), ("rate", "not known: the inbox does not answer", UNSURE)),
        (replace(WELL, inbox=replace(INBOX, consumers=[])), ("consumers", "no consumer is alive", BAD)),
        (replace(WELL, inbox=replace(INBOX, overdue=2)),
         ("deferred", "4 mails waiting for the next try, 2 of them long overdue", BAD)),
        (replace(WELL, inbox=replace(INBOX, failed=1)),
         ("rate", "60 sent, 1 failed, 0 expired in the last minute", BAD)),
        (replace(WELL, services=[OPEN, CONSUMER]),
         ("breaker", "open in 1 of 2: mail server: connection refused", BAD)),
        (replace(WELL, services=[replace(SITE, canary={})]),
         ("canary", "no canary is sent; the site says that mail flows", UNSURE)),
        *((replace(WELL, services=[replace(SITE, canary={"arrived_seconds_ago": untold})]),
           ("canary", "green: mail flows", GOOD)) for untold in (None, "1", [], float("nan"), 10**400)),
        (replace(WELL, services=[RED]), ("canary", "red: no canary has arrived", BAD)),
        (replace(WELL, services=[RED]), ("oldest", "2 min 3 s (inbox), 1 d 1 h (outbox)", "")),
        (replace(WELL, services=[]), ("breaker", "not asked: give --health HOST:PORT of a consumer", UNSURE)),
        (replace(WELL, services=[]), ("canary", "not asked: give --health HOST:PORT of a site", UNSURE)),
        (replace(WELL, services=[Silent("h:1", "no connection")]),
         ("service", "h:1 cannot be asked: no connection", BAD)),
        (replace(WELL, services=[replace(CONSUMER, release="", lost_log_records=7)]),
         ("service", "10.0.0.1:9100 consumer of an older release, 7 log records lost, ready", GOOD)),
    ],
)  # fmt: skip
def test_what_is_wrong_or_not_known_is_told(situation: Situation, line: tuple[str, str, str]) -> None:
    assert line in list(lines(situation, None))


@pytest.mark.parametrize(("earlier", "told"), [(2, "(+10 since the last look)"), (1_012, "(-1,000 since")])
def test_the_change_of_the_backlog_is_told_from_two_looks(earlier: int, told: str) -> None:
    before = replace(WELL, broker=replace(BROKER, waiting=earlier))

    assert told in next(lines(WELL, before))[1]


def test_control_characters_from_elsewhere_do_not_reach_the_terminal() -> None:
    evil = "\x1b]0;owned\x07\x9b31m\u202e"
    situation = Situation(
        at="now",
        release="1",
        broker=Unknown(evil),
        inbox=replace(INBOX, consumers=[evil], server=evil),
        services=[replace(OPEN, trouble=[f"mail server: {evil}"]), Silent(evil, evil)],
    )

    text = as_text(situation)

    assert all(line.isprintable() for line in text.splitlines())


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (3_599, "59 min 59 s"),
     (7_260, "2 h 1 min"), (90_000, "1 d 1 h")],
)  # fmt: skip
def test_durations_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_scripts_can_tell_which_parts_were_reached() -> None:
    reached = as_json(replace(WELL, inbox=Unknown("away"), services=[SITE, Silent("h:1", "no connection")]))

    assert (reached["broker"]["ok"], reached["broker"]["waiting"]) == (True, 12)
    assert reached["inbox"] == {"ok": False, "reason": "away"}
    assert [(each["kind"], each["ok"]) for each in reached["services"]] == [
        ("site", True),
        ("unknown", False),
    ]


def test_nothing_was_reached_only_if_no_part_was() -> None:
    nothing = replace(WELL, broker=Unknown("x"), inbox=Unknown("x"), services=[Silent("h:1", "x")])

    assert nothing.is_all_unknown
    assert not replace(nothing, services=[SITE]).is_all_unknown
