"""Make the table of the readers' mails."""

import sqlalchemy as sa
from alembic import op

from mailpact.database.mysql import TABLE

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the missing parts: on MySQL an interrupted start may have added some of them."""
    op.create_table(
        "mails",
        sa.Column("message_id", sa.String(36), primary_key=True),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("template", sa.String(64), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("occurred_at", sa.BigInteger, nullable=False),
        sa.Column("smtp_code", sa.SmallInteger),
        sa.Column("reply", sa.String(500)),
        sa.Column("error", sa.String(64)),
        if_not_exists=True,
        **TABLE,
    )
    indexes = {index["name"] for index in sa.inspect(op.get_bind()).get_indexes("mails")}
    for name, columns in (("ix_mails_user", ["user_id", "made_at"]), ("ix_mails_made", ["made_at"])):
        if name not in indexes:
            op.create_index(name, "mails", columns)
