"""Add columns for deferral, status events, replay and the bridge. Consumers of the first release must have stopped."""

import sqlalchemy as sa
from alembic import op

from mailpact.database import clock
from mailpact.database.mysql import TABLE
from mailpact_consumer.errors import OlderConsumersAlive

revision = "2.0"
down_revision = "0001"

ALIVE_SECONDS = 10


def upgrade() -> None:
    """Add columns, indexes and a table, unless an interrupted start has added them already."""
    connection = op.get_bind()
    _refuse_while_older_consumers_live(connection)
    inspector = sa.inspect(connection)
    for table, columns in _new_columns().items():
        present = {column["name"] for column in inspector.get_columns(table)}
        for column in columns:
            if column.name not in present:
                op.add_column(table, column)
    connection.execute(sa.text("UPDATE inbox SET tried_since = first_seen WHERE tried_since = 0"))
    indexes = {index["name"] for index in inspector.get_indexes("inbox")}
    for name, on in _new_indexes().items():
        if name not in indexes:
            op.create_index(name, "inbox", on)
    op.create_table(
        "inbox_bridges",
        sa.Column("queue", sa.String(255), primary_key=True),
        sa.Column("owner", sa.String(36), nullable=False),
        sa.Column("to_forward", sa.BigInteger),
        if_not_exists=True,
        **TABLE,
    )


def _new_columns() -> dict[str, list[sa.Column[object]]]:
    return {
        "inbox": [
            sa.Column("unanswered", sa.Integer, nullable=False, server_default="0"),
            sa.Column("tried_since", sa.BigInteger, nullable=False, server_default="0"),
            sa.Column("next_try_at", sa.BigInteger),
            sa.Column("last_reply", sa.String(500)),
            sa.Column("publisher_id", sa.String(255)),
            sa.Column("due", sa.Text),
            sa.Column("due_since", sa.BigInteger),
            sa.Column("events", sa.Integer, nullable=False, server_default="0"),
        ],
        "inbox_owners": [sa.Column("name", sa.String(255), nullable=False, server_default="")],
    }


def _new_indexes() -> dict[str, list[str]]:
    return {
        "inbox_by_recipient": ["recipient_sha256"],
        "inbox_by_due_since": ["due_since"],
        "inbox_by_next_try_at": ["next_try_at"],
        "inbox_by_ended_at": ["ended_at", "first_seen"],
    }


def _refuse_while_older_consumers_live(connection: sa.Connection) -> None:
    owners = sa.table("inbox_owners", sa.column("owner"), sa.column("renewed_at"))
    age = clock.now() - owners.c.renewed_at
    limit = ALIVE_SECONDS * clock.SECOND
    alive = connection.execute(sa.select(owners.c.owner).where(age.between(-limit, limit))).scalars().all()
    if alive:
        raise OlderConsumersAlive(
            f"consumers of an older release use this inbox: {', '.join(sorted(alive))} (column owner of table"
            f" inbox_owners). Stop them; {ALIVE_SECONDS} seconds later this release can start"
        )
