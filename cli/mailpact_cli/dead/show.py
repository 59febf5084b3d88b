"""`mailpact dead show ID`: shows all data of the letters of one message."""

import base64
import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mailpact.settings import AmqpUrl
from mailpact_cli import options
from mailpact_cli.dead import selection
from mailpact_cli.dead.list import age_in_words, described
from mailpact_cli.dead.walk import walk, with_progress
from mailpact_cli.errors import WRONG
from mailpact_cli.printable import without_controls

if TYPE_CHECKING:
    from mailpact_consumer.dead_letter import DeadLetter, Selection
    from mailpact_consumer.dead_queue import DeadQueue


def show_letters(
    ids: Annotated[list[str], selection.ids_argument("ID...")],
    amqp_url: Annotated[AmqpUrl, options.amqp_url()] = options.DEFAULT_AMQP_URL,
    body: Annotated[
        bool, options.flag("--body", "Show the message's body too; the body may contain login links.")
    ] = False,
    as_json: Annotated[bool, options.flag("--json", "Print one JSON object and nothing else.")] = False,
) -> None:
    """Show the dead letters of a message: reason, properties and headers; with --body, the body too."""
    chosen = selection.selection(ids, None, None, None)
    now, letters = walk(amqp_url, lambda queue, now: _look(queue, chosen, now))
    shown = [_shown(letter, now, with_body=body) for letter in letters]
    if as_json:
        print(json.dumps({"letters": shown}))  # noqa: T201  # the result
    else:
        _print(shown, Console(highlight=False))
    if not shown:
        raise typer.Exit(WRONG)


async def _look(
    queue: "DeadQueue", chosen: "Selection", now: datetime
) -> "tuple[datetime, list[DeadLetter]]":
    return now, [letter async for _, letter in with_progress(queue) if chosen.takes(letter, now=now)]


def _shown(letter: "DeadLetter", now: datetime, *, with_body: bool) -> dict[str, Any]:
    message = letter.message
    shown = described(letter, now) | {
        "properties": {
            "message_id": message.message_id,
            "content_type": message.content_type,
            "content_encoding": message.content_encoding,
            "correlation_id": message.correlation_id,
            "reply_to": message.reply_to,
            "timestamp": None if message.timestamp is None else message.timestamp.isoformat(),
        },
        "headers": {name: _plain(value) for name, value in message.headers.items()},
    }
    if with_body:
        try:
            shown["body"] = message.body.decode()
        except UnicodeDecodeError:
            shown["body_base64"] = base64.b64encode(message.body).decode()
    return shown


def _plain(value: object) -> object:
    """Return a header's value as a JSON value."""
    match value:
        case bytes() | bytearray():
            return bytes(value).decode("utf-8", "replace")
        case datetime():
            return value.isoformat()
        case dict():
            return {str(name): _plain(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
        case None | bool() | int() | float() | str():
            return value
        case _:
            return str(value)


def _print(shown: list[dict[str, Any]], console: Console) -> None:
    if not shown:
        console.print("No dead letter has this message id.")
    for letter in shown:
        table = Table.grid(padding=(0, 2))
        for name, value in letter.items():
            if value in (None, {}, "") or name == "body":
                continue
            if name == "age_seconds":
                name, value = "age", age_in_words(value)  # noqa: PLW2901  # shown in words
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            table.add_row(name, Text(without_controls(text, keeping="\n")))
        console.print(table)
        if "body" in letter:
            body = without_controls(letter["body"], keeping="\n\t")
            console.print(Text(f"\n{body}\n"))
        console.print()
