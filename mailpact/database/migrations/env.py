"""What Alembic runs: the room's migrations, on the connection and inside the transaction that it is given."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table=context.config.attributes["version_table"],
)
context.run_migrations()
