"""Migrates a component's tables to the schema that its code expects, at start, one process at a time.

Each component has its own migrations and its own version table, so that site and consumer can share a database without
sharing a schema. Importing Alembic takes a third of a second, so it is imported only if the stored revision is old.
"""

import re
import threading
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from mailpact.database.transactions import Database

_alembic = threading.Lock()  # Alembic uses global names, so two components of one process take turns


class SchemaUnknown(Exception):
    """The database has a schema that this release does not know, most likely of a newer release."""


async def migrate(database: Database, migrations: Path, *, head: str, version_table: str) -> None:
    """Run the missing migrations up to revision `head` from the folder `migrations`.

    A second process waits for the first and then finds nothing to do. On SQLite all migrations are one transaction.
    MySQL commits each change of a table separately, so a crash can leave a migration half done; each migration must
    therefore be repeatable. A revision may be written MAJOR.MINOR: a newer minor revision only adds what an older
    release does not need, so the older release accepts it. Raises SchemaUnknown, DatabaseUnavailable.
    """

    def upgrade(connection: Connection) -> None:
        stored = None
        if inspect(connection).has_table(version_table):
            # A name cannot be a parameter; this one is a constant of ours.
            stored = connection.execute(text(f"SELECT version_num FROM {version_table}")).scalar()  # noqa: S608  # as above
        if stored != head and not only_adds(stored, to=head):
            _upgrade(connection, migrations, head, stored, version_table)

    await database.transact_alone(version_table, upgrade)


def only_adds(stored: str | None, *, to: str) -> bool:
    """Return whether the stored revision has the same major version as `to` and a newer minor version."""
    newer, known = (re.fullmatch("([0-9]+)[.]([0-9]+)", revision or "") for revision in (stored, to))
    if newer is None or known is None:
        return False
    return newer[1] == known[1] and int(newer[2]) > int(known[2])


def _upgrade(
    connection: Connection, migrations: Path, head: str, stored: str | None, version_table: str
) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", _escaped(Path(__file__).parent / "migrations"))
    config.set_main_option("version_locations", _escaped(migrations))
    config.set_main_option("path_separator", "newline")
    config.attributes["connection"] = connection
    config.attributes["version_table"] = version_table
    try:
        with _alembic:
            command.upgrade(config, head)
    except CommandError as error:
        if stored is None:
            raise  # the folder or the head is wrong: a bug in Mailpact
        raise SchemaUnknown(
            f"the tables have revision {stored!r} in {version_table}, which this release does not know;"
            " use the release that made them"
        ) from error


def _escaped(path: Path) -> str:
    # ConfigParser would interpolate at a percent sign.
    return str(path).replace("%", "%%")
