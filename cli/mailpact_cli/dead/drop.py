"""`mailpact dead drop`: removes letters that nobody needs any more."""

import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from mailpact.settings import AmqpUrl
from mailpact_cli import options
from mailpact_cli.dead import selection
from mailpact_cli.dead.walk import walk, with_progress
from mailpact_cli.errors import WRONG

if TYPE_CHECKING:
    from mailpact_consumer.dead_letter import Selection
    from mailpact_consumer.dead_queue import DeadQueue


def drop_letters(
    ids: Annotated[list[str] | None, selection.ids_argument()] = None,
    amqp_url: Annotated[AmqpUrl, options.amqp_url()] = options.DEFAULT_AMQP_URL,
    code: Annotated[str | None, selection.code_option()] = None,
    older_than: Annotated[str | None, selection.older_than_option()] = None,
    newer_than: Annotated[str | None, selection.newer_than_option()] = None,
    as_json: Annotated[bool, options.flag("--json", "Print one JSON object and nothing else.")] = False,
) -> None:
    """Delete dead letters; their messages are never mailed."""
    chosen = selection.selection(ids, code, older_than, newer_than)
    selection.refuse_everything(chosen, "drop")
    dropped = walk(amqp_url, lambda queue, now: _drop(queue, chosen, now))
    if as_json:
        print(json.dumps({"dropped": dropped}))  # noqa: T201  # the result
    else:
        print(f"{dropped} dropped")  # noqa: T201  # the result
    if chosen.ids and not dropped:
        raise typer.Exit(WRONG)


async def _drop(queue: "DeadQueue", chosen: "Selection", now: datetime) -> int:
    dropped = 0
    async for tag, letter in with_progress(queue):
        if chosen.takes(letter, now=now):
            await queue.take_out(tag)
            dropped += 1
    return dropped
