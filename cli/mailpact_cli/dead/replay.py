"""`mailpact dead replay`: tries again to mail messages that could not be mailed."""

import asyncio
import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer

from mailpact.settings import AmqpUrl
from mailpact_cli import options
from mailpact_cli.dead import selection
from mailpact_cli.dead.walk import walk, with_progress
from mailpact_cli.dialling import connected
from mailpact_cli.errors import WRONG
from mailpact_cli.serving import say

if TYPE_CHECKING:
    from mailpact_consumer.dead_letter import Selection
    from mailpact_consumer.dead_queue import DeadQueue


@dataclass(slots=True)
class _Result:
    replayed: int = 0
    refused_as_too_old: int = 0


def replay_letters(
    ids: Annotated[list[str] | None, selection.ids_argument()] = None,
    amqp_url: Annotated[AmqpUrl, options.amqp_url()] = options.DEFAULT_AMQP_URL,
    code: Annotated[str | None, selection.code_option()] = None,
    older_than: Annotated[str | None, selection.older_than_option()] = None,
    newer_than: Annotated[str | None, selection.newer_than_option()] = None,
    limit: Annotated[
        int, options.number("--limit", "Replay at most this many letters.", least=1, most=1_000_000)
    ] = 1_000_000,
    rate: Annotated[
        int, options.number("--rate", "Replay at most this many letters per second.", least=1, most=10_000)
    ] = 50,
    inbox_days: Annotated[
        int, options.number("--inbox-days", "The consumers' setting of this name.", least=1, most=3650)
    ] = 30,
    force: Annotated[
        bool, options.flag("--force", "Replay older letters too; a mail may then be sent twice.")
    ] = False,
    as_json: Annotated[bool, options.flag("--json", "Print one JSON object and nothing else.")] = False,
) -> None:
    """Publish dead letters again as messages, and remove each letter when the broker has confirmed its message.

    Replaying a letter twice sends one mail. A message that is refused again becomes a dead letter again.
    """
    chosen = selection.selection(ids, code, older_than, newer_than)
    selection.refuse_everything(chosen, "replay")

    async def job(queue: "DeadQueue", now: datetime) -> _Result:
        remembered_days = None if force else inbox_days
        return await _replay(
            queue, chosen, now, amqp_url=amqp_url, limit=limit, rate=rate, remembered_days=remembered_days
        )

    result = walk(amqp_url, job)
    if as_json:
        print(json.dumps(asdict(result)))  # noqa: T201  # the result
    else:
        print(f"{result.replayed} replayed")  # noqa: T201  # the result
    if result.refused_as_too_old:
        say(
            f"{result.refused_as_too_old} letters are older than {inbox_days} days or have no time. The consumers "
            "may have forgotten their messages, so a mail could be sent twice. Use --force to replay these letters too."
        )
    if result.refused_as_too_old or (chosen.ids and not result.replayed):
        raise typer.Exit(WRONG)


async def _replay(
    queue: "DeadQueue",
    chosen: "Selection",
    now: datetime,
    *,
    amqp_url: AmqpUrl,
    limit: int,
    rate: int,
    remembered_days: int | None,
) -> _Result:
    from mailpact_consumer.dead_letter import is_forgotten, replayed
    from mailpact_consumer.dead_queue import Replay

    result = _Result()
    # A separate connection, because an alarm of the broker blocks publishing connections, and letters must be put
    # back.
    async with connected(amqp_url, "replay") as connection:
        replay = await Replay.on(connection)
        async for tag, letter in with_progress(queue):
            if not chosen.takes(letter, now=now):
                continue
            if remembered_days is not None and is_forgotten(letter, now=now, inbox_days=remembered_days):
                result.refused_as_too_old += 1
                continue
            await replay.publish(replayed(letter, new_key=str(uuid4())))
            await queue.take_out(tag)
            result.replayed += 1
            if result.replayed == limit:
                break
            await asyncio.sleep(1 / rate)
    return result
