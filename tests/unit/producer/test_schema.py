"""The migrations make exactly the tables that the code uses."""

from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from mailpact.database.engine import open_database
from mailpact.database.migrate import migrate
from mailpact.settings import DatabaseUrl
from mailpact_producer.store.schema import HEAD, MIGRATIONS, VERSION_TABLE, metadata


async def test_migrated_tables_are_those_of_the_schema(tmp_path: Path) -> None:
    database = open_database(DatabaseUrl(f"sqlite:///{tmp_path / 'cms.db'}"))
    await migrate(database, MIGRATIONS, head=HEAD, version_table=VERSION_TABLE)

    differences = await database.transact(
        lambda connection: compare_metadata(
            MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}), metadata
        )
    )

    await database.close()
    assert differences == []
