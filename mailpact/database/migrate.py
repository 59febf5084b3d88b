"""Migrates a component's tables to the schema that its code expects, at start, one process at a time.

Each component has its own migrations and its own version table, so that CMS and consumer can share a database without
sharing a schema. Alembic costs a third of a second to import, so the stored revision is compared first and an
up-to-date database never loads it.
"""

import re
import threading
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from mailpact.database.transactions import Database

MAJOR_MINOR = re.compile(r"([0-9]+)\.([0-9]+)")

_alembic = threading.Lock()  # Alembic uses global names, so two components of one process must take turns


class SchemaUnknown(Exception):
    """The database has a schema that this release does not know, most likely a newer one's."""


async def migrate(database: Database, migrations: Path, *, head: str, version_table: str) -> None:
    """Run the missing migrations up to revision `head` from the folder `migrations`.

    A second process waits for the first and then finds nothing to do. On SQLite all migrations are one transaction.
    MySQL commits each change of a table separately, so a crash can leave a migration half done. Each migration must
    therefore be repeatable: it makes only what does not exist yet. Raises SchemaUnknown, DatabaseUnavailable.

    A revision may be written MAJOR.MINOR. A newer minor revision of the same major only adds things that an older
    release does not need, so the older release accepts it.
    """

    def upgrade(connection: Connection) -> None:
        stored = _stored_revision(connection, version_table)
        if stored != head and not only_adds(stored, to=head):
            _upgrade(connection, migrations, head, stored, version_table)

    await database.transact_alone(version_table, upgrade)


def only_adds(stored: str | None, *, to: str) -> bool:
    """Return whether the stored revision has the same major version as `to` and a newer minor version."""
    newer, known = (MAJOR_MINOR.fullmatch(revision or "") for revision in (stored, to))
    if newer is None or known is None:
        return False
    return newer[1] == known[1] and int(newer[2]) > int(known[2])


def _stored_revision(connection: Connection, version_table: str) -> str | None:
    if not inspect(connection).has_table(version_table):
        return None
    # The table's name is a constant of ours, not input; names cannot be parameters.
    return connection.execute(text(f"SELECT version_num FROM {version_table}")).scalar()  # noqa: S608 (a constant of ours)


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
    # ConfigParser takes a percent sign for an interpolation.
    return str(path).replace("%", "%%")
