"""`mailpact dead list`: which messages could not be mailed, and why."""

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mailpact.settings import AmqpUrl, DatabaseUrl
from mailpact_cli import options
from mailpact_cli.dead import selection
from mailpact_cli.dead.walk import walk, with_progress
from mailpact_cli.printable import without_controls
from mailpact_cli.status import read_inbox

if TYPE_CHECKING:
    from mailpact_consumer.dead_letter import DeadLetter, Selection
    from mailpact_consumer.dead_queue import DeadQueue


def list_letters(
    ids: Annotated[list[str] | None, selection.ids_argument()] = None,
    amqp_url: Annotated[AmqpUrl, options.amqp_url()] = options.DEFAULT_AMQP_URL,
    code: Annotated[str | None, selection.code_option()] = None,
    older_than: Annotated[str | None, selection.older_than_option()] = None,
    newer_than: Annotated[str | None, selection.newer_than_option()] = None,
    inbox_url: Annotated[
        DatabaseUrl | None,
        options.database_url(
            "--inbox-url", "The consumers' database; letters whose mail was sent anyway are marked."
        ),
    ] = None,
    limit: Annotated[
        int, options.number("--limit", "List at most this many letters.", least=0, most=100_000)
    ] = 50,
    as_json: Annotated[bool, options.flag("--json", "Print one JSON object and nothing else.")] = False,
) -> None:
    """List dead letters, the oldest first, and count them by error code. The letters stay where they are."""
    chosen = selection.selection(ids, code, older_than, newer_than)
    found = walk(amqp_url, lambda queue, now: _look(queue, chosen, limit, now))
    if inbox_url is not None:
        found.sent = _sent(inbox_url, found.letters)
    if as_json:
        print(json.dumps(_document(found)))  # noqa: T201  # the result
    else:
        _print(found, Console(highlight=False))


@dataclass(slots=True)
class _Found:
    now: datetime
    counts: Counter[str] = field(default_factory=Counter)
    letters: "list[DeadLetter]" = field(default_factory=list)
    sent: frozenset[tuple[str, str]] = frozenset()


async def _look(queue: "DeadQueue", chosen: "Selection", limit: int, now: datetime) -> _Found:
    found = _Found(now)
    async for _, letter in with_progress(queue):
        if chosen.takes(letter, now=now):
            found.counts[letter.code] += 1
            if len(found.letters) < limit:
                found.letters.append(letter)
    return found


def _document(found: _Found) -> dict[str, Any]:
    return {
        "total": found.counts.total(),
        "codes": dict(found.counts.most_common()),
        "letters": [described(letter, found.now) | _mark(letter, found) for letter in found.letters],
    }


def _sent(url: DatabaseUrl, letters: "list[DeadLetter]") -> frozenset[tuple[str, str]]:
    """Return the message ids and recipients of these letters whose mail was sent.

    A mail can be sent after its letter if the consumer crashed between the letter's confirm and its record in the
    inbox.
    """
    from mailpact_consumer.decide import State
    from mailpact_consumer.history import hashes_of, states

    wanted = {(letter.key, letter.recipient) for letter in letters if letter.key and letter.recipient}
    if not wanted:
        return frozenset()
    known = read_inbox(url, lambda connection: states(connection, [key for key, _ in wanted]))
    return frozenset(
        (key, recipient)
        for key, recipient in wanted
        if any(known.get((key, sha256)) is State.SENT for sha256 in hashes_of(recipient))
    )


def _mark(letter: "DeadLetter", found: _Found) -> dict[str, bool]:
    return {"mail_was_sent": (letter.key or "", letter.recipient or "") in found.sent}


def described(letter: "DeadLetter", now: datetime) -> dict[str, Any]:
    """Return a letter as a JSON object, without the message's body."""
    from mailpact_consumer.dead_letter import age_of

    age = age_of(letter, now=now)
    return {
        "message_id": letter.key,
        "code": letter.code,
        "detail": letter.detail,
        "pointer": letter.pointer,
        "keyword": letter.keyword,
        "written_by": letter.written_by,
        "recipient": letter.recipient,
        "attempts": letter.attempts,
        "died_at": None if letter.died_at is None else letter.died_at.isoformat(),
        "age_seconds": None if age is None else int(age.total_seconds()),
        "app_id": letter.message.app_id,
        "type": letter.message.type,
        "body_bytes": len(letter.message.body),
    }


def _print(found: _Found, console: Console) -> None:
    if not found.counts:
        console.print("No dead letters." if not found.letters else "")
        return
    table = Table("message id", "age", "code", "attempts", "reason", box=box.SIMPLE_HEAD)
    for letter in found.letters:
        row = described(letter, found.now)
        table.add_row(
            Text(without_controls(row["message_id"] or "none", keeping="")),
            age_in_words(row["age_seconds"]),
            Text(without_controls(letter.code, keeping="")),
            "" if letter.attempts is None else str(letter.attempts),
            Text(without_controls(_marked_reason(letter, found), keeping="\n")),
        )
    if found.letters:
        console.print(table)
    counts = ", ".join(f"{code} {count}" for code, count in found.counts.most_common())
    hidden = found.counts.total() - len(found.letters)
    more = f"; {hidden} not listed, use --limit" if hidden else ""
    summary = f"{found.counts.total()} letters: {counts}{more}"
    console.print(without_controls(summary, keeping=""), markup=False)


def age_in_words(seconds: int | None) -> str:
    """Return an age in its largest unit, such as "3 d"."""
    if seconds is None:
        return "unknown"
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{max(seconds, 0)} s"


def _marked_reason(letter: "DeadLetter", found: _Found) -> str:
    reason = f"{letter.pointer}: {letter.detail}" if letter.pointer else letter.detail
    return f"MAIL WAS SENT. {reason}" if _mark(letter, found)["mail_was_sent"] else reason
