"""Make the audit log."""

import sqlalchemy as sa
from alembic import op

from mailpact.database.mysql import TABLE

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the missing parts: on MySQL an interrupted start may have added some of them."""
    row_id = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "audit_log",
        sa.Column("id", row_id, primary_key=True, autoincrement=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("act", sa.String(32), nullable=False),
        sa.Column("account", sa.BigInteger),
        sa.Column("object", sa.String(80), nullable=False),
        sa.Column("network", sa.String(50), nullable=False),
        if_not_exists=True,
        **TABLE,
    )
    indexes = {index["name"] for index in sa.inspect(op.get_bind()).get_indexes("audit_log")}
    if "ix_audit_log_act" not in indexes:
        op.create_index("ix_audit_log_act", "audit_log", ["act", "id"])
