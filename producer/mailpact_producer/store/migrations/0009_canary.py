"""Make the table of the canary."""

import sqlalchemy as sa
from alembic import op

from mailpact.database.mysql import TABLE

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the table if it is missing: on MySQL an interrupted start may have added the table."""
    op.create_table(
        "canary",
        sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("message_id", sa.String(36), nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("told", sa.String(16), nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("arrived_at", sa.BigInteger),
        sa.Column("waiting_since", sa.BigInteger),
        if_not_exists=True,
        **TABLE,
    )
