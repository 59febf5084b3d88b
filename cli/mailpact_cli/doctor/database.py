"""Examines a database: the connection, the isolation level, the clock, and the revision of its tables."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from mailpact.settings import DatabaseUrl
from mailpact_cli.doctor.clocks import compared
from mailpact_cli.doctor.finding import Finding, ok, unreachable, wrong

if TYPE_CHECKING:
    from sqlalchemy import Connection

T = TypeVar("T")

ANSWER_SECONDS: Final = 8.0
WANTED_ISOLATION: Final = "READ-COMMITTED"
USUAL_ISOLATIONS: Final = frozenset({WANTED_ISOLATION, "REPEATABLE-READ"})
MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of one component: where its revision is stored, the newest one, and the folder of all of them."""

    name: str
    option: str
    version_table: str
    head: str
    migrations: Path


@dataclass(frozen=True, slots=True)
class _Seen:
    revision: str | None
    theirs: float
    session: dict[str, str]
    server: dict[str, str]


async def examine_database(
    url: DatabaseUrl, tables: Tables, *, utc_seconds: Callable[[], float]
) -> AsyncIterator[Finding]:
    """Yield what is found. `utc_seconds` is this machine's clock."""
    if url.is_sqlite and not url.path.is_file():
        yield ok(tables.name, f"{url.path} does not exist yet; it is made at the first start")
        return
    began = utc_seconds()
    try:
        seen = await _ask(url, partial(_read, tables=tables))
    except _NoAnswer as error:
        yield unreachable(
            tables.name,
            f"{url}: {error}",
            f"Start the database, or correct {tables.option} and the user's rights.",
        )
        return
    yield ok(tables.name, f"{url} answers")
    yield _schema(tables, seen.revision)
    if not url.is_sqlite:
        yield _isolation(tables, seen)
        yield compared(f"{tables.name} clock", "the database's", seen.theirs, between=(began, utc_seconds()))


async def bridge_has_owner(url: DatabaseUrl | None) -> bool | None:
    """Return whether a Mailpact consumer reads the legacy queue; None if the inbox does not say."""
    if url is None or (url.is_sqlite and not url.path.is_file()):
        return None
    try:
        return await _ask(url, _bridge_has_owner)
    except _NoAnswer:
        return None


class _NoAnswer(Exception):
    """The database cannot be used; the message says why."""


async def _ask(url: DatabaseUrl, work: "Callable[[Connection], T]") -> "T":
    from mailpact.database.engine import open_database
    from mailpact.database.transactions import DatabaseUnavailable

    async with open_database(url) as database:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await database.transact(work)
        except TimeoutError:
            raise _NoAnswer("no answer in time") from None
        except DatabaseUnavailable as error:
            raise _NoAnswer(str(error)) from error


def _bridge_has_owner(connection: "Connection") -> bool | None:
    from sqlalchemy import inspect, select

    from mailpact_consumer.schema import bridges

    if not inspect(connection).has_table(bridges.name):
        return None
    return connection.execute(select(bridges.c.owner).where(bridges.c.owner != "")).first() is not None


def _read(connection: "Connection", tables: Tables) -> _Seen:
    from sqlalchemy import inspect, select, text

    from mailpact.database import clock

    revision = None
    if inspect(connection).has_table(tables.version_table):
        # The table's name is a constant, not input. SQL does not allow a parameter for a name.
        revision = connection.execute(text(f"SELECT version_num FROM {tables.version_table}")).scalar()  # noqa: S608  # see above
    theirs = connection.execute(select(clock.now())).scalar_one() / MICROSECONDS
    if connection.dialect.name == "sqlite":
        return _Seen(revision, theirs, {}, {})
    # MySQL and MariaDB have different names for the isolation level.
    session, server = (
        {str(name).lower(): str(value) for name, value in connection.execute(text(f"SHOW {scope} VARIABLES"))}
        for scope in ("SESSION", "GLOBAL")
    )
    return _Seen(revision, theirs, session, server)


def _schema(tables: Tables, revision: str | None) -> Finding:
    from mailpact.database.migrate import only_adds

    about = f"{tables.name} schema"
    if revision is None:
        return ok(about, "no tables yet; they are made at the first start")
    if revision == tables.head or only_adds(revision, to=tables.head):
        return ok(about, f"revision {revision}")
    known = {
        found[1]
        for path in tables.migrations.glob("*.py")
        if (found := re.search(r"^revision = \"(.+)\"$", path.read_text(), re.MULTILINE))
    }
    if revision in known:
        return wrong(
            about,
            f"the tables have the old revision {revision}; this release works with {tables.head}",
            "Stop the services of the older release, make a backup, and start this release, which migrates.",
        )
    return wrong(
        about,
        f"the tables have revision {revision}, which this release ({tables.head}) does not know",
        "Use the release that made the tables, which is most likely a newer one.",
    )


def _isolation(tables: Tables, seen: _Seen) -> Finding:
    about = f"{tables.name} isolation"
    session, usual = _level(seen.session), _level(seen.server)
    if session != WANTED_ISOLATION:
        return wrong(
            about,
            f"Mailpact's sessions have {session}, although they ask for {WANTED_ISOLATION}",
            "The server or a proxy changes the level: correct init_connect or the proxy's settings.",
        )
    if usual not in USUAL_ISOLATIONS:
        return wrong(
            about,
            f"the server's default is {usual}",
            "Set transaction-isolation = READ-COMMITTED in the server's configuration.",
        )
    if seen.server.get("log_bin") == "ON" and seen.server.get("binlog_format") == "STATEMENT":
        return wrong(
            about,
            "binlog_format is STATEMENT, under which the server refuses changes with READ COMMITTED",
            "Set binlog_format = ROW (or MIXED) in the server's configuration.",
        )
    if seen.server.get("read_only") == "ON":
        return wrong(
            about,
            "the server is read-only: it may be a replica",
            f"Name the primary server in {tables.option}.",
        )
    return ok(about, f"{session} in Mailpact's sessions, {usual} as the server's default")


def _level(variables: dict[str, str]) -> str:
    return (
        variables.get("transaction_isolation")
        or variables.get("tx_isolation")
        or "an unknown isolation level"
    )
