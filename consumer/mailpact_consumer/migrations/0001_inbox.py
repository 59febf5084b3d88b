"""Make the inbox and the owners' heartbeats."""

import sqlalchemy as sa
from alembic import op

from mailpact.database.mysql import TABLE

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make both tables, unless an interrupted start has made them already."""
    op.create_table(
        "inbox",
        sa.Column("message_id", sa.String(36), primary_key=True),
        sa.Column("recipient_sha256", sa.String(64), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("owner", sa.String(36), nullable=False),
        sa.Column("token", sa.String(36), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("uncertain", sa.Integer, nullable=False),
        sa.Column("body_sha256", sa.String(64), nullable=False),
        sa.Column("first_seen", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("smtp_code", sa.SmallInteger),
        if_not_exists=True,
        **TABLE,
    )
    op.create_table(
        "inbox_owners",
        sa.Column("owner", sa.String(36), primary_key=True),
        sa.Column("renewed_at", sa.BigInteger, nullable=False),
        if_not_exists=True,
        **TABLE,
    )
