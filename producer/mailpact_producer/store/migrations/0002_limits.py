"""Make the table that requests for mail are counted in."""

import sqlalchemy as sa
from alembic import op

from mailpact.database.mysql import TABLE

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table, unless an interrupted start has made it already."""
    op.create_table(
        "limits",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("times", sa.Text, nullable=False),
        sa.Column("used_at", sa.BigInteger, nullable=False),
        if_not_exists=True,
        **TABLE,
    )
    if not any(
        index["name"] == "ix_limits_used" for index in sa.inspect(op.get_bind()).get_indexes("limits")
    ):
        op.create_index("ix_limits_used", "limits", ["used_at"])
