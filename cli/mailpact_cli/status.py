"""`mailpact status`: the whole system on one screen, or what became of a message or of the mail for an address."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mailpact.settings import AmqpUrl, DatabaseUrl, HostPort, SettingsError
from mailpact_cli import options
from mailpact_cli.errors import WRONG
from mailpact_cli.journey import ask_site, ask_viewer, is_known, print_journey, print_site
from mailpact_cli.log_output import configure_logging
from mailpact_cli.printable import without_controls

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from mailpact_consumer.history import Mail

ANSWER_SECONDS = 8
T = TypeVar("T")


def status(
    about: Annotated[
        str, typer.Argument(metavar="ID|ADDRESS", help="A message id, or a recipient's address.")
    ] = "",
    inbox_url: Annotated[
        DatabaseUrl, options.database_url("--inbox-url", "The consumers' database, which records sent mail.")
    ] = DatabaseUrl("sqlite:///.mailpact/inbox.db"),
    amqp_url: Annotated[AmqpUrl, options.amqp_url()] = options.DEFAULT_AMQP_URL,
    health: Annotated[
        list[HostPort] | None,
        options.address("--health", "Where a consumer or a site serves its health; may be repeated."),
    ] = None,
    database_url: Annotated[
        DatabaseUrl | None,
        options.database_url("--database-url", "The site's database, which records confirmed messages."),
    ] = None,
    viewer_url: Annotated[
        str | None, options.called_url("--viewer-url", "A capture server, which shows the message's journey.")
    ] = None,
    as_json: Annotated[bool, options.flag("--json", "Print one JSON object and nothing else.")] = False,
) -> None:
    """Show the whole system on one screen, or whether the mail of a message or to an address was sent.

    Without ID and ADDRESS the screen shows rates, backlog, dead letters and health; on a terminal every two seconds.
    With one of them, the command shows whether the mail was sent, waits or failed, and the mail server's last reply.
    """
    configure_logging(verbose=False)
    if not about:
        from mailpact_cli.screen.command import Places, show_screen

        show_screen(Places(amqp_url, inbox_url, tuple(health or ())), as_object=as_json)
        return
    mails = read_inbox(inbox_url, lambda connection: _look(connection, about))
    ids = list(dict.fromkeys([*(mail.message_id for mail in mails), about.lower(), about]))
    is_address = "@" in about
    entry = None if database_url is None or is_address else asyncio.run(ask_site(database_url, ids))
    told = None if viewer_url is None or is_address else asyncio.run(ask_viewer(viewer_url, ids[0]))
    if as_json:
        site = None if entry is None else asdict(entry)
        found = {"mails": [_described(mail) for mail in mails], "site": site, "journey": told}
        print(json.dumps(found))  # noqa: T201  # the result
    else:
        console = Console(highlight=False)
        if database_url is not None and not is_address:
            print_site(entry, console)
        _print(mails, console)
        if told is not None:
            print_journey(told, console)
    if not (mails or entry or (told is not None and is_known(told))):
        raise typer.Exit(WRONG)


def read_inbox(url: DatabaseUrl, work: "Callable[[Connection], T]") -> T:
    """Read from the consumers' database within 8 seconds. Raises SettingsError, DatabaseUnavailable."""
    if url.is_sqlite and not url.path.is_file():
        raise SettingsError(f"{url.path} does not exist; give the consumers' --inbox-url")
    return asyncio.run(_read_inbox(url, work))


async def _read_inbox(url: DatabaseUrl, work: "Callable[[Connection], T]") -> T:
    from mailpact.database.engine import open_database
    from mailpact.database.transactions import DatabaseUnavailable

    async with open_database(url) as database:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await database.transact(work)
        except TimeoutError:
            raise DatabaseUnavailable("the database does not answer in time") from None


def _look(connection: "Connection", about: str) -> "Sequence[Mail]":
    from mailpact_consumer.history import mails_of_message, mails_to_address

    mails = mails_of_message(connection, about)
    return mails if mails or "@" not in about else mails_to_address(connection, about)


def _described(mail: "Mail") -> dict[str, Any]:
    return {
        "message_id": mail.message_id,
        "publisher_message_id": mail.publisher_id,
        "recipient_sha256": mail.recipient_sha256,
        "state": mail.state,
        "attempts": mail.attempts,
        "uncertain": mail.uncertain,
        "unanswered": mail.unanswered,
        "first_seen": _text(mail.first_seen),
        "next_try_at": _text(mail.next_try_at),
        "ended_at": _text(mail.ended_at),
        "last_reply": mail.last_reply,
    }


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="seconds")


def _print(mails: "Sequence[Mail]", console: Console) -> None:
    if not mails:
        console.print(
            "The inbox has no such mail: no consumer has tried to send it, or the inbox has already forgotten it.\n"
            "`mailpact dead list` shows messages that were refused before a try."
        )
    for mail in mails:
        table = Table.grid(padding=(0, 2))
        for name, value in (
            ("message id", mail.message_id),
            ("publisher's id", mail.publisher_id),
            ("state", _state_in_words(mail)),
            ("attempts", str(mail.attempts)),
            (
                "possible copies",
                str(mail.uncertain + mail.unanswered) if mail.uncertain + mail.unanswered else None,
            ),
            ("first seen", _text(mail.first_seen)),
            ("next try", _text(mail.next_try_at)),
            ("ended", _text(mail.ended_at)),
            ("last reply", mail.last_reply),
        ):
            if value is not None:
                table.add_row(name, Text(without_controls(value, keeping="")))
        console.print(table)
        console.print()


def _state_in_words(mail: "Mail") -> str:
    from mailpact_consumer.decide import State

    match mail.state:
        case State.SENT:
            return "sent: the mail server took the mail"
        case State.DEFERRED:
            return "deferred: the mail waits for its next try"
        case State.FAILED:
            return "failed: the message is a dead letter"
        case State.EXPIRED:
            return "expired: the time that the publisher allows for the mail has ended"
        case State.SENDING if mail.owner_is_alive:
            return "sending: a consumer is sending the mail now"
        case State.SENDING:
            return "sending: the consumer ended; the mail is sent again when the message is delivered again"
        case State.UNKNOWN:
            return "unknown to this release: a newer consumer has written it"
