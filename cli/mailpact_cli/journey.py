"""Get the site's and the capture server's data about one message, for `mailpact status ID`.

the site's outbox: committed, confirmed        the capture server: asked, events, log records, mails, differences
"""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mailpact.settings import DatabaseUrl, SettingsError
from mailpact_cli.errors import ServiceUnreachable
from mailpact_cli.http_answer import read_body
from mailpact_cli.printable import without_controls

if TYPE_CHECKING:
    from mailpact_producer.store.outbox import Entry

ANSWER_SECONDS: Final = 8.0
MOST_BYTES: Final = 16 * 1024 * 1024

Sent = Mapping[str, Any]


async def ask_site(url: DatabaseUrl, message_ids: Sequence[str]) -> "Entry | None":
    """Return the message's entry in the site's outbox. Raises SettingsError, DatabaseUnavailable."""
    from mailpact.database.engine import open_database
    from mailpact.database.transactions import DatabaseUnavailable
    from mailpact_producer.store import outbox

    if url.is_sqlite and not url.path.is_file():
        raise SettingsError(f"{url.path} is not there; give the site's --database-url")
    async with open_database(url) as database:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await database.transact(lambda connection: outbox.find(connection, message_ids))
        except TimeoutError:
            raise DatabaseUnavailable("the site's database does not answer in time") from None


async def ask_viewer(url: str, message_id: str) -> dict[str, Any]:
    """Return the message's journey from the capture server. Raises ServiceUnreachable."""
    import aiohttp

    address = f"{url}/api/mailpact/v1/journey/{quote(message_id, safe='')}"
    try:
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(address) as answer:
            told = json.loads(await read_body(answer, most_bytes=MOST_BYTES))
    except (aiohttp.ClientError, TimeoutError, ValueError, RecursionError) as error:
        raise ServiceUnreachable(f"{url} does not answer with a journey ({type(error).__name__})") from None
    if not isinstance(told, dict) or "asked" not in told:
        raise ServiceUnreachable(f"{url} is not a capture server of this release")
    return told


def is_known(told: Mapping[str, Any]) -> bool:
    """Return whether the capture server has data about the message."""
    return any(told.get(name) for name in ("asked", "events", "records", "mails", "known_as"))


def print_site(entry: "Entry | None", console: Console) -> None:
    """Print the entry of the site's outbox."""
    if entry is None:
        console.print(
            "The site's outbox does not have the message: another program published it, or it is over 7 days old.\n"
        )
        return
    _print_grid(
        console,
        ("contract", entry.contract),
        ("committed", entry.committed_at),
        ("confirmed", entry.confirmed_at or f"not yet: {entry.state}"),
        ("publishes that failed", str(entry.attempts) if entry.attempts else ""),
        ("reason", entry.reason),
    )


def print_journey(told: Mapping[str, Any], console: Console) -> None:
    """Print the journey from the capture server."""
    if not told.get("listening_since"):
        console.print("The capture server has no connection to a broker, so only mails are shown.\n")
    elif not is_known(told):
        console.print(f"No message seen by the capture server since {told['listening_since']}.\n")
    for asked in told["asked"]:
        _print_grid(
            console,
            ("asked", asked.get("contract") or f"unknown contract, type {asked.get('type')}"),
            ("producer", asked.get("producer")),
            ("made at", asked.get("made_at")),
            ("published", asked.get("seen_at")),
            ("times published", str(told["copies"]) if told["copies"] > 1 else ""),
            ("body", asked.get("body") or asked.get("defect")),
        )
        for row in asked["compared"]:
            if row["verdict"] == "different":
                found = f"DIFFERENT {row['what']}: asked {row['asked']!r}, sent {row['sent']!r}"
                console.print(Text(without_controls(found, keeping="\n")), soft_wrap=True)
    for line in (*_events(told), *_records(told), *_mails(told)):
        console.print(Text(without_controls(line, keeping="\n")), soft_wrap=True)


def _events(told: Mapping[str, Any]) -> Iterator[str]:
    for event in told["events"]:
        smtp, error = event.get("smtp") or {}, event.get("error") or {}
        reply = " ".join(str(smtp[name]) for name in ("code", "reply") if name in smtp)
        reason = " ".join(str(error[name]) for name in ("code", "pointer", "detail") if error.get(name))
        yield f"{event['occurred_at']}  {event['event']}, attempt {event['attempt']}  {reply} {reason}".rstrip()


def _records(told: Mapping[str, Any]) -> Iterator[str]:
    for record in told["records"]:
        yield f"{record['timestamp']}  log of {record.get('service', '?')}, {record['level']}: {record['event']}"


def _mails(told: Mapping[str, Any]) -> Iterator[str]:
    for group in told["mails"]:
        copies = group["copies"]
        again = "" if len(copies) == 1 else f", {len(copies)} times"
        differ = "" if group["same_bytes"] else ", and the copies differ"
        yield f"{copies[0]['received_at']}  mail {copies[0]['id']} captured{again}{differ}"


def _print_grid(console: Console, *rows: tuple[str, str | None]) -> None:
    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        if value:
            table.add_row(name, Text(without_controls(str(value), keeping="\n")))
    console.print(table)
    console.print()
