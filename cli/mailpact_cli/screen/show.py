"""Renders a situation for people: one line for each subject, and the parts that could not be asked."""

from collections.abc import Iterator
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mailpact_cli.printable import one_line
from mailpact_cli.screen.situation import (
    Broker,
    ConsumerHealth,
    Inbox,
    Service,
    Silent,
    SiteHealth,
    Situation,
    Unknown,
)

GOOD, BAD, UNSURE = "green", "bold red", "yellow"
ASK_CONSUMER: Final = "not asked: give --health HOST:PORT of a consumer"
ASK_SITE: Final = "not asked: give --health HOST:PORT of a site"
MINUTE, HOUR, DAY = 60, 3_600, 86_400

Line = tuple[str, str, str]
"""What a line is about, what it says, and the style of the text (empty for an ordinary line)."""


def drawn(situation: Situation, before: Situation | None) -> RenderableType:
    """Return the whole screen for a terminal. The change of the backlog is told from `before`, the look before."""
    table = Table.grid(padding=(0, 2))
    for about, text, style in lines(situation, before):
        table.add_row(Text(about, style="bold"), Text(one_line(text), style=style))
    return Group(Text(_title(situation)), Text(), table)


def as_text(situation: Situation) -> str:
    """Return the same as plain text, one line for each thing."""
    written = [f"{about:<10} {one_line(text)}" for about, text, _ in lines(situation, None)]
    return "\n".join([_title(situation), "", *written])


def _title(situation: Situation) -> str:
    return f"Mailpact {situation.release}, {situation.at}"


def lines(situation: Situation, before: Situation | None) -> Iterator[Line]:
    """Yield the lines of the screen; their texts may hold control characters."""
    broker, inbox = situation.broker, situation.inbox
    yield "backlog", *_backlog(broker, before.broker if before else None)
    if isinstance(inbox, Inbox):
        yield from _of_inbox(inbox, situation)
    else:
        for about in ("rate", "deferred", "oldest"):
            yield about, "not known: the inbox does not answer", UNSURE
    yield "dead", *_dead(broker)
    yield "breaker", *_breaker(situation)
    yield "canary", *_canary(situation)
    yield from _servers(broker, inbox)
    for service in situation.services:
        yield "service", *_service(service)


def _backlog(broker: Broker | Unknown, before: Broker | Unknown | None) -> tuple[str, str]:
    if isinstance(broker, Unknown):
        return "not known: the broker does not answer", UNSURE
    if broker.waiting is None:
        return "there is no queue email.work: no consumer has run yet", BAD
    text = f"{_count(broker.waiting, 'message')} in email.work, {_count(broker.consumers, 'consumer')}"
    if isinstance(before, Broker) and before.waiting is not None and before.waiting != broker.waiting:
        text += f" ({broker.waiting - before.waiting:+,} since the last look)"
    return (text, "") if broker.consumers else (f"{text}: no consumer receives messages", BAD)


def _of_inbox(inbox: Inbox, situation: Situation) -> Iterator[Line]:
    yield (
        "rate",
        f"{inbox.sent:,} sent, {inbox.failed:,} failed, {inbox.expired:,} expired in the last minute",
        BAD if inbox.failed or inbox.expired else "",
    )
    overdue = f", {inbox.overdue:,} of them long overdue" if inbox.overdue else ""
    yield (
        "deferred",
        f"{_count(inbox.deferred, 'mail')} waiting for the next try{overdue}",
        BAD if overdue else "",
    )
    oldest = f"{duration(inbox.oldest_seconds)} (inbox)" if inbox.oldest_seconds else "no mail is unfinished"
    in_outbox = max((site.outbox_oldest_seconds for site in situation.sites), default=0.0)
    yield "oldest", oldest + (f", {duration(in_outbox)} (outbox)" if in_outbox else ""), ""


def _dead(broker: Broker | Unknown) -> tuple[str, str]:
    if isinstance(broker, Unknown):
        return "not known: the broker does not answer", UNSURE
    if not broker.dead:
        return "no dead letters", ""
    return f"{_count(broker.dead, 'letter')} in email.dead: mailpact dead list shows them", BAD


def _breaker(situation: Situation) -> tuple[str, str]:
    consumers = situation.consumers
    if not consumers:
        return ASK_CONSUMER, UNSURE
    is_open = [consumer for consumer in consumers if consumer.breaker_is_open]
    if not is_open:
        return "closed: the mail server works", GOOD
    reasons = [each for consumer in is_open for each in consumer.trouble if each.startswith("mail server")]
    return f"open in {len(is_open)} of {len(consumers)}: {'; '.join(dict.fromkeys(reasons))}", BAD


def _canary(situation: Situation) -> tuple[str, str]:
    sites = situation.sites
    if not sites:
        return ASK_SITE, UNSURE
    details = dict.fromkeys(site.mail_detail for site in sites if not site.mail_flows)
    if details:
        return f"red: {'; '.join(details)}", BAD
    if not any(site.canary for site in sites):
        return "no canary is sent; the site says that mail flows", UNSURE
    arrived = [site.canary_arrived_seconds_ago for site in sites]
    ago = min((seconds for seconds in arrived if seconds is not None), default=None)
    return "green: mail flows" + ("" if ago is None else f", a canary arrived {duration(ago)} ago"), GOOD


def _servers(broker: Broker | Unknown, inbox: Inbox | Unknown) -> Iterator[Line]:
    if isinstance(broker, Broker):
        yield "broker", broker.server, ""
    else:
        yield "broker", f"cannot be asked: {broker.reason}", BAD
    if isinstance(inbox, Inbox):
        yield "inbox", f"{inbox.server}, revision {inbox.revision}", ""
        names = ", ".join(inbox.consumers)
        yield "consumers", names or "no consumer is alive", "" if names else BAD
    else:
        yield "inbox", f"cannot be asked: {inbox.reason}", BAD


def _service(service: Service) -> tuple[str, str]:
    if isinstance(service, Silent):
        return f"{service.address} cannot be asked: {service.reason}", BAD
    kind = "consumer" if isinstance(service, ConsumerHealth) else "site"
    text = f"{service.address} {kind} {service.release or 'of an older release'}"
    if isinstance(service, SiteHealth):
        text += f", {_count(service.outbox_pending, 'message')} in the outbox"
    if service.lost_log_records:
        text += f", {_count(service.lost_log_records, 'log record')} lost"
    return (f"{text}; {'; '.join(service.trouble)}", BAD) if service.trouble else (f"{text}, ready", GOOD)


def _count(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """Return a duration in words, such as `2 min 3 s`."""
    whole = round(seconds)
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min {whole % MINUTE} s"
    if whole < DAY:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE} min"
    return f"{whole // DAY} d {whole % DAY // HOUR} h"
